import { readFile } from 'node:fs/promises';
import { consentTextMax } from '@lucid-sessions/contract/recording-limits';
import { CliError, exitCodes } from '../cli/output.ts';

/** What its user is to acknowledge, from a file. */
export async function readConsentText(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new CliError(`${path} can't be read: ${error.code ?? error.message}`, exitCodes.usage);
  });
  if (text.trim() === '' || text.trim().length > consentTextMax)
    throw new CliError(`${path} must hold a text of 1 to ${consentTextMax} characters`, exitCodes.usage);
  return text.trim();
}
