/** Where metadata, journal, jobs and what is agreed on are kept: SESSION_METADATA_DB says it by its scheme. */
import { EnvironmentError } from '@lucid-sessions/kit';
import { mongodb } from './mongodb-stores.ts';
import { postgres } from './postgres-stores.ts';
import { sqlite } from './sqlite-stores.ts';
import type { Scheme, StorePlace, Stores, StoreUser } from './store-scheme.ts';

const schemes: Readonly<Record<string, Scheme>> = { sqlite, postgres, postgresql: postgres, mongodb };

function schemeOf({ metadataDb }: StorePlace): Scheme {
  const scheme = schemes[/^([a-z]+)(?:\+srv)?:./.exec(metadataDb)?.[1] ?? ''];
  if (scheme === undefined)
    throw new EnvironmentError('SESSION_METADATA_DB', 'must be sqlite:PATH, postgres://… or mongodb://…');
  return scheme;
}

export const checkStores = (place: StorePlace, users: ReadonlySet<StoreUser>): Promise<void> =>
  schemeOf(place).check(place, users);

export const storesOf = (place: StorePlace): Stores => schemeOf(place).open(place);
