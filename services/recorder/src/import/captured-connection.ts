/** A decrypted RDP connection somebody hands in: its negotiation, what crossed behind it, and what the file says of itself. */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { LucidError } from '@lucid-sessions/contract';
import { frameLength, Protocol, tpkt, x224ConnectionConfirm, x224ConnectionRequest } from '@lucid-sessions/rdp';
import { CAPTURE_BYTES_MAX, type CaptureRecord, openCapture } from '@lucid-sessions/recording';
import { DecodeError, decode } from '@lucid-sessions/wire';
import { withoutToken } from '../front-door/asked.ts';

export interface CapturedPiece {
  fromServer: boolean;
  /** µs since the first one; never goes back. */
  timeUs: number;
  bytes: Uint8Array;
}

export interface CapturedConnection {
  sha256: string;
  /** The file's own word. */
  claims: { fromUs: number | null; client: string | null; server: string | null; problem: string | null };
  durationUs: number;
  requestedProtocols: number;
  selectedProtocol: number;
  /** X.224 request and confirm, without what is secret in them. */
  hello: [CapturedPiece, CapturedPiece];
  /** What follows them, in pieces of bounded size. */
  pieces: () => Generator<CapturedPiece, void, undefined>;
}

/** Between two of them others have their turn. */
const pieceBytesMax = 64 * 1024;
const helloBytesMax = 4096;
const textMax = 255;

const unzip = promisify(gunzip);
const refused = (message: string): LucidError => new LucidError('invalidRequest', message);

/** Throws a `LucidError` that says what is wrong with the file. */
export async function openCapturedConnection(zipped: Uint8Array): Promise<CapturedConnection> {
  const bytes = await unpacked(zipped);
  try {
    const { meta, records } = openCapture(bytes);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const { durationUs } = checked(records());
    return {
      sha256,
      claims: claimsOf(meta),
      durationUs,
      ...negotiationOf(records),
      pieces: () => behindHello(records()),
    };
  } catch (error) {
    if (error instanceof DecodeError) throw refused(`the capture is damaged: ${error.message}`);
    throw error;
  }
}

async function unpacked(zipped: Uint8Array): Promise<Uint8Array> {
  try {
    return await unzip(zipped, { maxOutputLength: CAPTURE_BYTES_MAX });
  } catch (error) {
    const tooLarge = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    if (tooLarge)
      throw new LucidError('tooLarge', `a capture has at most ${CAPTURE_BYTES_MAX / 2 ** 20} MiB when it is unpacked`);
    throw refused('the capture is no gzip file, or a damaged one');
  }
}

/** Walks to the end once, so that a file that breaks off is refused whole. */
function checked(records: Iterable<CaptureRecord>): { durationUs: number } {
  let timeMs = 0;
  for (const record of records) timeMs = Math.max(timeMs, record.timeMs);
  return { durationUs: timeMs * 1000 };
}

const printed = (value: unknown): string | null =>
  typeof value === 'string' && value !== ''
    ? value
        .slice(0, textMax)
        .toWellFormed()
        .replaceAll(/\p{Cc}/gu, ' ')
    : null;

function claimsOf(meta: unknown): CapturedConnection['claims'] {
  const { from, started, client, server, problem } = (meta ?? {}) as Record<string, unknown>;
  const fromMs = Date.parse(String(from ?? started));
  return {
    fromUs: Number.isFinite(fromMs) && fromMs >= 0 ? fromMs * 1000 : null,
    client: printed(client),
    server: printed(server),
    problem: printed(problem),
  };
}

/** Assembles the first PDU of each side; the bytes after them are passed on. */
function* behindHello(
  records: Iterable<CaptureRecord>,
  onHello: (hello: CapturedPiece) => void = () => {},
): Generator<CapturedPiece, void, undefined> {
  const held: [Buffer | null, Buffer | null] = [Buffer.alloc(0), Buffer.alloc(0)];
  let timeUs = 0;
  for (const record of records) {
    const { fromServer } = record;
    const side = fromServer ? 1 : 0;
    let { bytes } = record;
    timeUs = Math.max(timeUs, record.timeMs * 1000);
    const before = held[side];
    if (before !== null) {
      const all = Buffer.concat([before, bytes.subarray(0, helloBytesMax)]);
      const length = all[0] === 3 && all.length >= 4 ? frameLength(all, 0, all.length) : 0;
      if (length === 0 && all.length >= helloBytesMax) throw refused('the capture does not begin as an RDP connection');
      held[side] = length > 0 && all.length >= length ? null : all;
      if (held[side] !== null) continue;
      onHello({ fromServer, timeUs, bytes: all.subarray(0, length) });
      bytes = bytes.subarray(length - before.length);
    }
    for (let at = 0; at < bytes.length; at += pieceBytesMax)
      yield { fromServer, timeUs, bytes: bytes.subarray(at, at + pieceBytesMax) };
  }
}

type Negotiation = Pick<CapturedConnection, 'hello' | 'requestedProtocols' | 'selectedProtocol'>;

function negotiationOf(records: () => Iterable<CaptureRecord>): Negotiation {
  const said: CapturedPiece[] = [];
  const behind = behindHello(records(), (piece) => said.push(piece)).next();
  const client = said.find(({ fromServer }) => !fromServer);
  const server = said.find(({ fromServer }) => fromServer);
  if (client === undefined || server === undefined)
    throw refused('the capture does not hold the negotiation of an RDP connection');
  const request = decode(x224ConnectionRequest, decode(tpkt, client.bytes).payload);
  const { negotiation } = decode(x224ConnectionConfirm, decode(tpkt, server.bytes).payload);
  if (behind.done) throw refused('the connection in the capture did not go beyond its negotiation');
  return {
    hello: [{ ...client, bytes: withoutToken(client.bytes, request) }, server],
    requestedProtocols: request.negotiation?.requestedProtocols ?? Protocol.rdp,
    selectedProtocol: negotiation?.kind === 'response' ? negotiation.selectedProtocol : Protocol.rdp,
  };
}
