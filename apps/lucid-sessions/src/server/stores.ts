/** Where metadata, journal, jobs and what is agreed on are kept: SESSION_METADATA_DB says it by its scheme. */
import { EnvironmentError } from '@lucid-sessions/kit';
import { postgres } from './postgres-stores.ts';
import { sqlite } from './sqlite-stores.ts';
import type { Scheme, StorePlace, Stores, StoreUser } from './store-scheme.ts';

const schemes: Readonly<Record<string, Scheme>> = { sqlite, postgres, postgresql: postgres };

function schemeOf({ metadataDb }: StorePlace): Scheme {
  const scheme = schemes[/^([a-z]+):./.exec(metadataDb)?.[1] ?? ''];
  if (scheme === undefined) throw new EnvironmentError('SESSION_METADATA_DB', 'must be sqlite:PATH or postgres://…');
  return scheme;
}

export const checkStores = (place: StorePlace, users: ReadonlySet<StoreUser>): Promise<void> =>
  schemeOf(place).check(place, users);

export const storesOf = (place: StorePlace): Stores => schemeOf(place).open(place);
