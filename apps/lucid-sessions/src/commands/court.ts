/** `court`: a recording as one HTML document that plays and verifies it without a server or a network. */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  type BundleSource,
  bundleNames,
  type CourtFileFacts,
  courtDocument,
  readRecordOf,
  tarStream,
  toHex,
} from '@lucid-sessions/evidence';
import { openBundle } from '@lucid-sessions/files';
import { makeOwnFolder, ownFileStream, writeOwnFile } from '@lucid-sessions/node';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, formatBytes, type Output } from '../cli/output.ts';
import { consoleFiles } from '../server/console-files.ts';
import { software } from '../server/software.ts';
import { downloadTo, entriesOf, refuseExisting } from './tar-download.ts';

/** A browser holds the whole document as text; what is larger lies beside it. */
const insideBytesMax = 200 << 20;

export interface CourtOptions {
  out: string;
  viewKey: 'included' | 'beside' | 'none';
  /** Of a bundle on disk: file with its view key. */
  key?: string;
}

export interface CourtFile {
  session_id: string;
  file: string;
  /** Of `file`. */
  sha256: string;
  bytes: number;
  /** The bundle beside a document in a folder; null: it is inside. */
  evidence: string | null;
  /** Where the view key was put: `included`, a file, or null. */
  view_key: string | null;
}

export async function makeCourtFile(
  api: () => ApiClient,
  output: Output,
  what: string,
  options: CourtOptions,
): Promise<CourtFile> {
  const out = resolve(options.out);
  await refuseExisting(out);
  const onDisk = existsSync(what);
  if (!onDisk && options.key !== undefined)
    throw new CliError('--key is of a bundle on disk: a session of the server is asked for its key', exitCodes.usage);
  if (onDisk && options.viewKey !== 'none' && options.key === undefined)
    throw new CliError('a bundle holds no view key in clear: name a file with it (--key)', exitCodes.usage);
  const template = await readTemplate();
  await makeOwnFolder(dirname(out));
  if (onDisk) {
    const viewKey = options.key === undefined ? null : await readViewKey(options.key);
    return write(template, resolve(what), viewKey, out, options);
  }
  // Asked for first: that the key went out is in the custody records of the bundle then.
  const viewKey = options.viewKey === 'none' ? null : await viewKeyOf(api(), what);
  const partial = `${out}.${randomBytes(4).toString('hex')}.partial`;
  try {
    await downloadTo(partial, await api().rest.exportEvidence({ params: { session_id: what }, query: {} }), output);
    return await write(template, partial, viewKey, out, options);
  } finally {
    await rm(partial, { force: true });
  }
}

async function readTemplate(): Promise<string> {
  const directory = await consoleFiles();
  if (directory === null) throw new CliError('this installation holds no console, whose player a court file carries');
  return readFile(join(directory, 'court.html'), 'utf8');
}

async function viewKeyOf(api: ApiClient, sessionId: string): Promise<string> {
  const { key } = await api.rest.getKey({ params: { session_id: sessionId } });
  return Buffer.from(key, 'base64').toString('hex');
}

async function readViewKey(path: string): Promise<string> {
  const text = (await readFile(path, 'utf8')).trim();
  if (/^[0-9a-f]{64}$/i.test(text)) return text.toLowerCase();
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return Buffer.from(text, 'base64').toString('hex');
  throw new CliError(`${path} holds no view key: 64 hex digits, or 44 characters of base64`, exitCodes.usage);
}

async function write(
  template: string,
  bundle: string,
  viewKey: string | null,
  out: string,
  options: CourtOptions,
): Promise<CourtFile> {
  const opened = await openBundle(bundle);
  try {
    const { source } = opened;
    const sessionId = await sessionIdOf(source);
    const total = (await source.list()).reduce((sum, { bytes }) => sum + bytes, 0);
    const isOne = out.endsWith('.html');
    if (isOne && total > insideBytesMax)
      throw new CliError(
        `${formatBytes(total)} are more than a browser takes in one file: name a folder with --out`,
        exitCodes.usage,
      );
    const file = isOne ? out : join(out, 'court.html');
    const evidence = isOne ? null : join(out, `${sessionId}.lucid.tar`);
    if (!isOne) await makeOwnFolder(out);
    const tar = (): AsyncGenerator<Uint8Array> => tarStream(entriesOf(source));
    if (evidence !== null) await pipeline(Readable.from(tar()), ownFileStream(evidence));
    const facts: CourtFileFacts = {
      v: 1,
      session_id: sessionId,
      made_us: Date.now() * 1000,
      software: `${software.name} ${software.version}`,
      evidence: evidence === null ? null : basename(evidence),
      view_key: options.viewKey === 'included' ? viewKey : null,
    };
    const sha256 = await writeDocument(file, courtDocument(template, facts, evidence === null ? tar() : null));
    const keyFile = `${file.replace(/\.html$/, '')}.view-key`;
    if (options.viewKey === 'beside') await writeOwnFile(keyFile, `${viewKey}\n`);
    const where = { included: 'included', beside: keyFile, none: null }[options.viewKey];
    return { session_id: sessionId, file, sha256, bytes: (await stat(file)).size, evidence, view_key: where };
  } finally {
    await opened.close();
  }
}

async function sessionIdOf(source: BundleSource): Promise<string> {
  const file = (await source.list()).find(({ name }) => name === bundleNames.open);
  if (file === undefined) throw new CliError('the bundle holds no open record');
  return readRecordOf('open', await source.read(file.name, 0, file.bytes)).body.session_id;
}

/** Renamed into place when it is whole; answers its SHA-256. */
async function writeDocument(path: string, parts: AsyncIterable<string>): Promise<string> {
  const partial = `${path}.${randomBytes(4).toString('hex')}.partial`;
  try {
    await pipeline(Readable.from(parts), ownFileStream(partial));
    const hash = createHash('sha256');
    for await (const part of createReadStream(partial)) hash.update(part as Uint8Array);
    await rename(partial, path);
    return toHex(hash.digest());
  } finally {
    await rm(partial, { force: true });
  }
}
