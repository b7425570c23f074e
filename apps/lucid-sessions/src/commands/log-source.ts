/** A log to read: its directory, or the address under which an installation serves it to everyone. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
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
  if (!existsSync(join(where, 'checkpoint')))
    throw new CliError(`${where} holds no log: there is no file checkpoint in it`, exitCodes.usage);
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
    if (response.status === 404 && path === 'checkpoint')
      throw new CliError(
        `${address} serves no log: it has no checkpoint. Is it the address that ends in /log?`,
        exitCodes.usage,
      );
    if (response.status === 404) return null;
    const bytes = response.ok ? await readBounded(response, fileBytesMax) : null;
    if (bytes === null) throw new CliError(`the log at ${address} answers ${response.status} to ${path}`);
    return bytes;
  };
}
