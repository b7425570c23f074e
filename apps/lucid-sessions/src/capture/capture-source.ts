/** RDP connections of a file somebody names: a packet capture, or a connection that was decrypted before (.rdpcap, also gzip). */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { CAPTURE_BYTES_MAX, openCapture } from '@lucid-sessions/recording';
import { DecodeError } from '@lucid-sessions/wire';
import { CliError } from '../cli/output.ts';
import { CaptureError, readPacketFile } from './packet-file.ts';
import { type RdpConnection, type RdpFindings, rdpConnectionsOf } from './rdp-connections.ts';
import { addSecrets, noSecrets } from './tls-keys.ts';

export interface CaptureSource extends RdpFindings {
  /** Of the file as it lies there. */
  sha256: string;
}

const fileBytesMax = 2 ** 31 - 1;
const unzip = promisify(gunzip);
const magic = Buffer.from('RDPCAP1\n');
const gzipMagic = 0x1f8b;

export async function readCaptureSource(path: string, keylogs: readonly string[]): Promise<CaptureSource> {
  const { size } = await stat(path);
  if (size > fileBytesMax)
    throw new CliError(`${path} is larger than ${fileBytesMax} bytes: cut it with editcap first`);
  try {
    const file = await readFile(path);
    const sha256 = createHash('sha256').update(file).digest('hex');
    const decrypted = await decryptedOf(file);
    if (decrypted !== null) return { sha256, connections: [connectionOf(decrypted)], skipped: {} };
    return { sha256, ...(await connectionsOf(file, keylogs)) };
  } catch (error) {
    if (error instanceof CaptureError || error instanceof DecodeError) throw new CliError(`${path}: ${error.message}`);
    throw error;
  }
}

async function connectionsOf(bytes: Buffer, keylogs: readonly string[]): Promise<RdpFindings> {
  const file = readPacketFile(bytes);
  const secrets = noSecrets();
  for (const text of [file.keyLog, ...(await Promise.all(keylogs.map((each) => readFile(each, 'utf8'))))])
    addSecrets(secrets, text);
  return rdpConnectionsOf(file, secrets);
}

/** The bytes of an .rdpcap file; null: it is something else. */
async function decryptedOf(file: Buffer): Promise<Buffer | null> {
  if (file.length < 2 || file.readUInt16BE(0) !== gzipMagic)
    return file.subarray(0, magic.length).equals(magic) ? file : null;
  try {
    const bytes = await unzip(file, { maxOutputLength: CAPTURE_BYTES_MAX });
    return bytes.subarray(0, magic.length).equals(magic) ? bytes : null;
  } catch (error) {
    throw new CaptureError(`it can't be unpacked: ${(error as Error).message}`);
  }
}

export const unknownEnd = 'unknown';
const textOf = (value: unknown): string => (typeof value === 'string' ? value : unknownEnd);

function connectionOf(bytes: Uint8Array): RdpConnection {
  const { meta, records } = openCapture(bytes);
  const { client, server, from, started, problem } = (meta ?? {}) as Record<string, unknown>;
  const fromUs = Date.parse(String(from ?? started)) * 1000;
  const startUs = Number.isFinite(fromUs) ? fromUs : 0;
  const pieces = [...records()].map(({ timeMs, ...record }) => ({ ...record, timeUs: startUs + timeMs * 1000 }));
  return {
    client: textOf(client),
    server: textOf(server),
    tlsVersion: 0,
    cipherSuite: 0,
    pieces,
    problem: typeof problem === 'string' ? problem : null,
  };
}
