/** A password from a file of its owner's or from a pipe, never from an argument: arguments are seen by every user of the machine. */
import { readFile, stat } from 'node:fs/promises';
import { CliError, exitCodes } from './output.ts';

const bytesMax = 4096;

export interface PasswordInput {
  isTTY?: boolean | undefined;
  [Symbol.asyncIterator](): AsyncIterator<unknown>;
}

/** `-`: what is piped in. One line end behind it is not part of it; blanks are. */
export async function readPassword(source: string, input: PasswordInput): Promise<string> {
  const bytes = source === '-' ? await readPipe(input) : await readOwnFile(source);
  const text = bytes.toString('utf8').replace(/\r?\n$/, '');
  if (text === '' || text.includes('\n') || !Buffer.from(text).equals(bytes.subarray(0, Buffer.byteLength(text))))
    throw new CliError('the password must be one line of text in UTF-8', exitCodes.usage);
  return text;
}

async function readOwnFile(path: string): Promise<Buffer> {
  const { mode, size } = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new CliError(`${path} can't be read: ${error.code ?? error.message}`, exitCodes.usage);
  });
  if (process.platform !== 'win32' && (mode & 0o077) !== 0)
    throw new CliError(`${path} can be read by others: run chmod 600 ${path}`, exitCodes.usage);
  if (size > bytesMax) throw new CliError(`${path} holds no password: it has ${size} bytes`, exitCodes.usage);
  return readFile(path);
}

async function readPipe(input: PasswordInput): Promise<Buffer> {
  // What is typed here would be seen.
  if (input.isTTY === true)
    throw new CliError('pipe the password in, or name a file of mode 600 with it', exitCodes.usage);
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of input) {
    parts.push(Buffer.from(part as Uint8Array));
    length += parts.at(-1)!.length;
    if (length > bytesMax) throw new CliError('what is piped in is no password: it is too long', exitCodes.usage);
  }
  return Buffer.concat(parts);
}
