/** What can't be undone is asked for twice: by flags, or by questions where somebody sits at a terminal. */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
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
export const askAtTerminal = (terminal: Terminal): Ask => asking(terminal, true);

/** For a password: what is typed is not shown. */
export const askSecretAtTerminal = (terminal: Terminal): Ask => asking(terminal, false);

function asking({ stdin, stderr }: Terminal, isShown: boolean): Ask {
  if (!stdin.isTTY || !stderr.isTTY) return null;
  return async (question) => {
    if (!isShown) stderr.write(question);
    const nowhere = new Writable({ write: (_part, _encoding, done) => done() });
    const lines = createInterface({ input: stdin, output: isShown ? stderr : nowhere, terminal: true });
    const gone = new AbortController();
    lines.once('close', () => gone.abort());
    try {
      const typed = await lines.question(isShown ? question : '', { signal: gone.signal });
      return isShown ? typed.trim() : typed;
    } catch {
      throw new CliError('nothing was changed', exitCodes.interrupted);
    } finally {
      lines.close();
      if (!isShown) stderr.write('\n');
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
