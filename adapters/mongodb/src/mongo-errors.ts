/** MongoDB's errors in terms of the closed table. No text of the driver is passed on: it may hold what stands in the URL. */
import { setTimeout as delay } from 'node:timers/promises';
import { LucidError } from '@lucid-sessions/contract';
import {
  MongoAPIError,
  MongoError,
  MongoNetworkError,
  MongoOperationTimeoutError,
  MongoParseError,
  MongoServerError,
  MongoServerSelectionError,
} from 'mongodb';

const duplicateKey = 11_000;
const outOfDisk = 14_031;
const refusedRights = new Set([13, 18, 8000]);
/** No primary now, a primary that steps down, a majority that does not answer in time: the same call may work in a moment. */
const passing = new Set([
  6, 7, 50, 64, 89, 91, 100, 112, 133, 189, 202, 262, 9001, 10_107, 11_600, 11_602, 13_435, 13_436,
]);

export const isDuplicate = (thrown: unknown): boolean =>
  thrown instanceof MongoServerError && thrown.code === duplicateKey;

function isPassing(thrown: MongoError): boolean {
  if (thrown instanceof MongoNetworkError || thrown instanceof MongoServerSelectionError) return true;
  if (thrown instanceof MongoOperationTimeoutError) return true;
  // A pool that is full or was cleared, a client that is closed.
  if (/^Mongo(?:WaitQueueTimeout|Pool|NotConnected|TopologyClosed|ClientClosed|ServerClosed)/.test(thrown.name))
    return true;
  return thrown instanceof MongoServerError && typeof thrown.code === 'number' && passing.has(thrown.code);
}

/** Of a server that could not be had, in words of our own; null: nothing more is known than that. */
export function reachProblem(thrown: unknown): string | null {
  const codes = new Set<string>();
  let hasReplicaSetName = false;
  const walk = (error: unknown, depth: number): void => {
    if (!(error instanceof Error) || depth > 8) return;
    if ('code' in error && typeof error.code === 'string') codes.add(error.code);
    if (error instanceof MongoServerSelectionError) {
      const { servers, setName } = error.reason ?? {};
      hasReplicaSetName ||= typeof setName === 'string';
      for (const server of servers?.values() ?? []) walk(server.error, depth + 1);
    }
    walk(error.cause, depth + 1);
  };
  walk(thrown, 0);
  for (const code of codes) if (reachWords[code] !== undefined) return reachWords[code];
  if ([...codes].some((code) => /^(?:ERR_SSL|ERR_TLS|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO)/.test(code)))
    return 'TLS fails: tls=true and SESSION_METADATA_DB_CA must fit its certificate';
  return hasReplicaSetName ? 'no primary of that replicaSet answers' : null;
}

const reachWords: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no machine of that name',
  EAI_AGAIN: 'its name can not be looked up now',
  EHOSTUNREACH: 'there is no way to it',
  ENETUNREACH: 'there is no way to it',
};

/** What the driver says of an address it can't read. Of its text an option's name is told alone. */
export function addressFailure(thrown: unknown): LucidError {
  const [, option] = /^options? ([A-Za-z, ]{1,200}) (?:is|are) not supported$/.exec((thrown as Error).message) ?? [];
  const why =
    option === undefined
      ? 'must be mongodb://USER@HOST:PORT,HOST:PORT/DATABASE?replicaSet=NAME, with %-codes for : / ? @ % in a part'
      : `the driver knows no ${option}`;
  return new LucidError('storage', `the database's address or options are not valid: ${why}`);
}

export function toMongoFailure(thrown: unknown): LucidError {
  if (thrown instanceof LucidError) return thrown;
  // Names are looked up by Node (mongodb+srv).
  if (!(thrown instanceof MongoError)) {
    const reason = reachProblem(thrown);
    return reason === null
      ? new LucidError('storage', 'the database refused the call')
      : new LucidError('unavailable', `the metadata database can not be reached in time: ${reason}`);
  }
  const details = { mongo_error: thrown.name, ...(typeof thrown.code === 'number' ? { mongo_code: thrown.code } : {}) };
  if (isPassing(thrown))
    return new LucidError('unavailable', `the metadata database can not be reached in time${withReason(thrown)}`, {
      details,
    });
  if (isDuplicate(thrown)) return new LucidError('conflict', 'another process stored this meanwhile', { details });
  if (thrown.code === outOfDisk)
    return new LucidError('storage', 'the disk of the database is full', { status: 507, details });
  if (typeof thrown.code === 'number' && refusedRights.has(thrown.code))
    return new LucidError('storage', "the database refuses this user's name, password or rights", { details });
  if (thrown instanceof MongoParseError || thrown instanceof MongoAPIError)
    return new LucidError('storage', "the database's address or options are not valid", { details });
  return new LucidError('storage', 'the database refused the call', { details });
}

function withReason(thrown: unknown): string {
  const reason = reachProblem(thrown);
  return reason === null ? '' : `: ${reason}`;
}

export async function guardedMongo<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw toMongoFailure(thrown);
  }
}

const triesMax = 12;
const waitMsMax = 250;

/**
 * Runs `work` until it says that nobody came between: undefined means somebody did. A majority read may not show yet what the
 * winner wrote, so later tries wait. Throws `unavailable` when others are always first.
 */
export async function untilUndisturbed<T>(work: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < triesMax; tries += 1) {
    if (tries > 0) await delay(Math.random() * Math.min(waitMsMax, 2 ** tries));
    const result = await work();
    if (result !== undefined) return result;
  }
  throw new LucidError('unavailable', 'others change this all the time; ask again later');
}
