/** A log to read: its directory, or the address under which an installation serves it to everyone. */
import { statSync } from 'node:fs';
import type { TileReader } from '@lucid-sessions/evidence';
import { logFileReader } from '@lucid-sessions/log';
import { readBounded } from '@lucid-sessions/node';
import { CliError, exitCodes } from '../cli/output.ts';

/** An entry bundle is at most 256 entries of 64 KiB. */
const fileBytesMax = 17 << 20;
const timeoutMs = 30_000;

/** Throws `CliError`: what is named is neither. */
export function logAt(where: string): TileReader {
  if (/^https?:/i.test(where)) return logBehind(where.replace(/\/+$/, ''));
  if (statSync(where, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new CliError(`${where} is neither a directory nor an address (http…) of a log`, exitCodes.usage);
  return logFileReader(where);
}

function logBehind(address: string): TileReader {
  return async (path) => {
    let response: Response;
    try {
      response = await fetch(`${address}/${path}`, { signal: AbortSignal.timeout(timeoutMs), redirect: 'error' });
    } catch (thrown) {
      const why = ((thrown as Error).cause as Error | undefined)?.message ?? (thrown as Error).message;
      throw new CliError(`the log at ${address} can't be read: ${why}`, exitCodes.failed);
    }
    if (response.status === 404) return null;
    const bytes = response.ok ? await readBounded(response, fileBytesMax) : null;
    if (bytes === null) throw new CliError(`the log at ${address} answers ${response.status} to ${path}`);
    return bytes;
  };
}
