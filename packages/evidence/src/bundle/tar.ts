import { DecodeError, equalBytes } from '@lucid-sessions/wire';
import { utf8 } from '../text.ts';
import {
  BUNDLE_FILES_MAX,
  BUNDLE_NAME,
  type BundleFile,
  type BundleSource,
  type FileDigest,
  type RandomAccess,
} from './source.ts';

/**
 * One bundle in one file is a POSIX ustar archive. Tar and not zip: it is written as a stream without seeking back, every
 * length stands before its bytes, and there is no second directory at the end that could tell another story than the
 * first. Headers have one form per name and length, and the reader takes no other, so nothing can hide in them.
 */
const BLOCK = 512;
/** Eleven octal digits. */
const FILE_BYTES_MAX = 0o77777777777;

/** One file of a bundle on its way out. */
export interface BundleEntry {
  name: string;
  content: Uint8Array;
}

function header(file: BundleFile): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const put = (text: string, at: number): void => block.set(utf8(text), at);
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`;
  put(file.name, 0);
  put(octal(0o644, 7), 100);
  put(octal(0, 7), 108);
  put(octal(0, 7), 116);
  put(octal(file.bytes, 11), 124);
  put(octal(0, 11), 136);
  put('        ', 148);
  put('0', 156);
  put('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(`${octal(sum, 6)} `, 148);
  return block;
}

const padding = (bytes: number): number => (BLOCK - (bytes % BLOCK)) % BLOCK;

/** Bundle files as the bytes of a tar file, one file in memory at a time. */
export async function* tarStream(
  entries: AsyncIterable<BundleEntry> | Iterable<BundleEntry>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const { name, content } of entries) {
    if (!BUNDLE_NAME.test(name) || name.length > 100) throw new RangeError(`${name} can't stand in a bundle`);
    if (content.length > FILE_BYTES_MAX) throw new RangeError(`${name} is too large for a bundle`);
    yield header({ name, bytes: content.length });
    yield content;
    if (padding(content.length) > 0) yield new Uint8Array(padding(content.length));
  }
  yield new Uint8Array(2 * BLOCK);
}

function parseHeader(block: Uint8Array, at: number): BundleFile {
  const text = String.fromCharCode(...block.subarray(0, 136));
  const name = text.slice(0, 100).replace(/\0.*$/s, '');
  const size = text.slice(124, 135);
  if (!/^[0-7]{11}$/.test(size) || !BUNDLE_NAME.test(name))
    throw new DecodeError('invalid', 'the tar header holds no name or size of a bundle', at);
  const file = { name, bytes: Number.parseInt(size, 8) };
  if (!equalBytes(header(file), block))
    throw new DecodeError('invalid', `the tar header of ${name} is not in the form of a bundle`, at);
  return file;
}

/** Reads headers only; file bytes are read when they are asked for. Throws `DecodeError`. */
export async function openTar(access: RandomAccess): Promise<BundleSource> {
  const files = new Map<string, { bytes: number; offset: number }>();
  let at = 0;
  for (;;) {
    if (at + 2 * BLOCK > access.length) throw new DecodeError('truncated', 'the tar file ends before its end mark', at);
    const block = await access.read(at, BLOCK);
    if (block.every((byte) => byte === 0)) break;
    const { name, bytes } = parseHeader(block, at);
    const end = at + BLOCK + bytes;
    if (end + padding(bytes) > access.length)
      throw new DecodeError('truncated', `the tar file ends inside ${name}`, at);
    if (files.has(name)) throw new DecodeError('invalid', `the tar file holds ${name} twice`, at);
    if (files.size === BUNDLE_FILES_MAX) throw new DecodeError('limit', 'the tar file holds too many files', at);
    const pad = await access.read(end, padding(bytes));
    if (pad.some((byte) => byte !== 0)) throw new DecodeError('invalid', `bytes hide behind ${name}`, end);
    files.set(name, { bytes, offset: at + BLOCK });
    at = end + padding(bytes);
  }
  const tail = await access.read(at, 2 * BLOCK);
  if (at + 2 * BLOCK !== access.length || tail.some((byte) => byte !== 0))
    throw new DecodeError('invalid', 'the tar file does not end with its end mark', at);
  const find = (name: string, end: number): { bytes: number; offset: number } => {
    const file = files.get(name);
    if (file === undefined || !(end >= 0 && end <= file.bytes)) throw new RangeError(`no such bytes in ${name}`);
    return file;
  };
  const { digest } = access;
  return {
    list: () => [...files].map(([name, { bytes }]) => ({ name, bytes })),
    read(name, offset, length) {
      if (!(offset >= 0 && length >= 0)) throw new RangeError(`no such bytes in ${name}`);
      return access.read(find(name, offset + length).offset + offset, length);
    },
    ...(digest === undefined
      ? {}
      : {
          async digest(name: string, headBytes: number): Promise<FileDigest> {
            const { bytes, offset } = find(name, 0);
            return digest(offset, bytes, headBytes);
          },
        }),
  };
}
