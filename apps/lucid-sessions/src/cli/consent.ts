/** What can't be undone is asked for twice: by flags, or by questions where somebody sits at a terminal. */
import { createInterface } from 'node:readline/promises';
import { CliError, exitCodes, printable } from './output.ts';

/** Asks at the terminal; null where there is none. */
export type Ask = ((question: string) => Promise<string>) | null;

export interface Consent {
  /** What is to be destroyed, by its name. */
  confirm: string;
  reason: string;
}

export interface Terminal {
  stdin: NodeJS.ReadStream;
  stderr: NodeJS.WriteStream;
}

/** Questions go to standard error: standard output is for results. */
export function askAtTerminal({ stdin, stderr }: Terminal): Ask {
  if (!stdin.isTTY || !stderr.isTTY) return null;
  return async (question) => {
    const lines = createInterface({ input: stdin, output: stderr });
    const gone = new AbortController();
    lines.once('close', () => gone.abort());
    try {
      return (await lines.question(question, { signal: gone.signal })).trim();
    } catch {
      throw new CliError('nothing was changed', exitCodes.interrupted);
    } finally {
      lines.close();
    }
  };
}

export const missingConsent = (doing: string, name: string): CliError =>
  new CliError(`${doing} needs --confirm ${name} and --reason TEXT`, exitCodes.usage);

/**
 * `given` as far as it goes, the rest from the terminal. `names`: what may be typed to confirm. Throws CliError, and nothing
 * has happened, when the name is another one or there is nobody to ask.
 */
export async function consentTo(
  given: Partial<Consent>,
  { warning, names, ask, missing }: { warning: string; names: readonly string[]; ask: Ask; missing: CliError },
): Promise<Consent> {
  if ((given.confirm === undefined || given.reason === undefined) && ask === null) throw missing;
  const confirm = given.confirm ?? (await ask!(`${printable(warning)}\nType its name to confirm: `));
  if (!names.includes(confirm))
    throw new CliError(`"${printable(confirm)}" is not its name: nothing was changed`, exitCodes.usage);
  const reason = (given.reason ?? (await ask!('Why? '))).trim();
  if (reason === '') throw new CliError('a reason is needed: nothing was changed', exitCodes.usage);
  return { confirm, reason };
}
