import {
  type ChannelClass,
  StreamInspector,
  tpkt,
  x224ConnectionConfirm,
  x224ConnectionRequest,
} from '@lucid-sessions/rdp';
import { BulkDecompressor } from '@lucid-sessions/rdp/bulk';
import { type Capture, type Frame, frameFlags, frameKinds } from '@lucid-sessions/recording';
import { type IndexEvent, SessionIndexer } from '@lucid-sessions/recording/session-index';
import { Relay, type RelaySide, RelayViolation } from '@lucid-sessions/relay';
import { DecodeError, decode } from '@lucid-sessions/wire';
import { overCapture } from './capture.ts';

/** What a gateway would have recorded of a captured session, and what its index reads in that. */
export interface Inspection {
  pdus: number;
  /** PDUs and channel messages that are not what their place says. */
  malformed: number;
  /** What was read and is not understood, by kind of PDU. */
  unsupported: Record<string, number>;
  /** Input events, clicks among them, and characters typed. */
  inputs: number;
  clicks: number;
  typed: number;
  /** By name, static and dynamic. */
  channels: Record<string, ChannelClass>;
  secretsBlanked: number;
  /** PDUs that could not be read where a secret may be: blanked, or kept like what is typed. */
  unread: number;
  /** Places in recorded frames that everybody who plays the recording may see, where one of the secrets stands. */
  clearSecrets: number;
  /** What the server said went wrong. */
  errors: string[];
  /** Why the gateway would have ended the session. */
  violation?: string;
}

/** Frames in the order they were completed. */
class Frames {
  readonly frames: Frame[] = [];
  readonly #open: { frame: Frame; filled: number }[] = [];
  frame(_kind: number, flags: number, channelId: number, bytes: Uint8Array, timeUs: number): void {
    this.frames.push({ kind: frameKinds.pdu, flags, channelId, timeUs, body: new Uint8Array(bytes) });
  }
  begin(flags: number, channelId: number, length: number, timeUs: number): void {
    const frame = { kind: frameKinds.pdu, flags, channelId, timeUs, body: new Uint8Array(length) };
    this.#open[flags & 1] = { frame, filled: 0 };
  }
  fill(direction: 0 | 1, bytes: Uint8Array): void {
    const open = this.#open[direction]!;
    open.frame.body.set(bytes, open.filled);
    open.filled += bytes.length;
    if (open.filled === open.frame.body.length) this.frames.push(open.frame);
  }
}

/** Sends a capture through the relay that gateways use, and reads what it records. */
export function inspectCapture(capture: Capture, secrets: readonly string[] = []): Inspection {
  const tap = new Frames();
  const { relay, violation } = relayed(capture, tap);
  const { events, inputs } = indexed(tap.frames);
  const { malformed, unsupported } = inspected(tap.frames);
  const contentErrors = events.filter((event) => event.kind === 'error' && event.code.startsWith('content.'));
  const { secretsBlanked, unread } = relay.counters;
  return {
    pdus: tap.frames.length,
    // The index meets the same PDUs, and what is inside of channels besides.
    malformed: Math.max(malformed, contentErrors.length - total(unsupported)),
    unsupported,
    inputs,
    clicks: events.filter(({ kind }) => kind === 'click').length,
    typed: events.reduce((sum, event) => sum + (event.kind === 'typed' ? (event.text ?? '').length : 0), 0),
    channels: Object.fromEntries(relay.channels),
    secretsBlanked,
    unread,
    clearSecrets: secrets.reduce((sum, secret) => sum + placesOf(tap.frames, secret), 0),
    errors: events.flatMap((event) =>
      event.kind === 'error' && event.code.startsWith('error_info.') ? [event.message] : [],
    ),
    ...(violation === undefined ? {} : { violation }),
  };
}

const total = (counts: Record<string, number>): number => Object.values(counts).reduce((sum, count) => sum + count, 0);

function relayed(capture: Capture, tap: Frames): { relay: Relay; violation?: string } {
  const hello = new Hello();
  let relay: Relay | null = null;
  const policy = () => ({ ...hello.protocols, graphics: 'passthrough' as const });
  for (const { fromServer, beforeTls, timeMs, bytes } of capture.records) {
    const from: RelaySide = fromServer ? 'server' : 'client';
    const timeUs = timeMs * 1000;
    const rest = hello.take(from, bytes, beforeTls, (pdu) => {
      tap.frame(0, (fromServer ? frameFlags.serverToClient : 0) | frameFlags.beforeTls, 0, pdu, timeUs);
    });
    if (rest.length === 0) continue;
    relay ??= new Relay(policy(), tap);
    try {
      relay.step(from, rest, timeUs);
    } catch (error) {
      if (!(error instanceof RelayViolation)) throw error;
      return { relay, violation: error.message };
    }
  }
  return { relay: relay ?? new Relay(policy(), tap) };
}

/** The X.224 PDUs a connection begins with, which a relay does not see. */
class Hello {
  readonly protocols = { requestedProtocols: 0, selectedProtocol: 0 };
  readonly #pending: Record<RelaySide, Uint8Array | null> = { client: new Uint8Array(0), server: new Uint8Array(0) };

  /** What of the bytes is not theirs. */
  take(from: RelaySide, bytes: Uint8Array, beforeTls: boolean, onPdu: (pdu: Uint8Array) => void): Uint8Array {
    const pending = this.#pending[from];
    if (pending === null) return beforeTls ? new Uint8Array(0) : bytes;
    const all = Buffer.concat([pending, bytes]);
    const isHello = all[0] === 3 && (all.length < 6 || (all[5]! & 0xe0) === 0xc0 || (all[5]! & 0xf0) === 0xe0);
    if (!isHello) {
      this.#pending[from] = null;
      return all;
    }
    const length = all.length < 4 ? 4 : all.readUInt16BE(2);
    if (all.length < length || all.length < 6) {
      this.#pending[from] = all;
      return new Uint8Array(0);
    }
    this.#pending[from] = null;
    const pdu = all.subarray(0, length);
    this.#read(from, pdu);
    onPdu(pdu);
    return beforeTls ? new Uint8Array(0) : all.subarray(length);
  }

  #read(from: RelaySide, pdu: Uint8Array): void {
    try {
      const { payload } = decode(tpkt, pdu);
      if (from === 'client')
        this.protocols.requestedProtocols = decode(x224ConnectionRequest, payload).negotiation?.requestedProtocols ?? 0;
      else {
        const { negotiation } = decode(x224ConnectionConfirm, payload);
        if (negotiation?.kind === 'response') this.protocols.selectedProtocol = negotiation.selectedProtocol;
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
    }
  }
}

/** As the index reads a recording whose inputs it may see. */
function indexed(frames: readonly Frame[]): { events: IndexEvent[]; inputs: number } {
  const indexer = new SessionIndexer();
  const events: IndexEvent[] = [];
  let inputs = 0;
  const take = (chunk: number, last: boolean): void => {
    const segment = indexer.take(chunk, last);
    events.push(...segment.events);
    for (const second of segment.activity) inputs += second.inputs;
  };
  for (const [i, frame] of frames.entries()) {
    indexer.push({ ...frame, flags: frame.flags & ~frameFlags.inputs });
    // A segment's counts are bounded.
    if (i % 1000 === 999) take(i, false);
  }
  take(frames.length, true);
  return { events, inputs };
}

function inspected(frames: readonly Frame[]): Pick<Inspection, 'malformed' | 'unsupported'> {
  const bulk = { client: new BulkDecompressor(), server: new BulkDecompressor() };
  const inspector = new StreamInspector({
    client: (data, flags) => bulk.client.decompress(data, flags),
    server: (data, flags) => bulk.server.decompress(data, flags),
  });
  const found = { malformed: 0, unsupported: {} as Record<string, number> };
  const count = (error: DecodeError): void => {
    if (error.code !== 'unsupported') found.malformed += 1;
    else {
      const what = error.message.replace(/ \(at byte \d+\)$/, '');
      found.unsupported[what] = (found.unsupported[what] ?? 0) + 1;
    }
  };
  const lost = new Set<RelaySide>();
  for (const { flags, body } of frames) {
    const sender = (flags & frameFlags.serverToClient) === 0 ? 'client' : 'server';
    if ((flags & frameFlags.receivedOnly) !== 0 || lost.has(sender)) continue;
    try {
      for (const event of inspector.push(sender, body)) if (event.kind === 'malformed') count(event.error);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      count(error);
      lost.add(sender);
    }
  }
  return found;
}

/** Of a secret in UTF-8 and in UTF-16, in frames that are neither sealed nor zeroed. */
function placesOf(frames: readonly Frame[], secret: string): number {
  if (secret === '') return 0;
  const needles = [Buffer.from(secret), Buffer.from(secret, 'utf16le')];
  let places = 0;
  for (const { flags, body } of frames) {
    if ((flags & frameFlags.inputs) !== 0) continue;
    const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
    for (const needle of needles)
      for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + 1)) places += 1;
  }
  return places;
}

const usage = 'usage: inspect <capture.rdpcap[.gz]> [--secret TEXT]...\n';

/** `inspect <capture.rdpcap[.gz]> [--secret TEXT]...`: one JSON line. */
async function main(args: readonly string[]): Promise<number> {
  const paths: string[] = [];
  const secrets: string[] = [];
  for (let at = 0; at < args.length; at += 1) {
    const value = args[at + 1];
    if (args[at] !== '--secret') paths.push(args[at]!);
    else if (value === undefined) paths.push('');
    else {
      secrets.push(value);
      at += 1;
    }
  }
  if (paths.length !== 1 || paths[0] === '') {
    process.stderr.write(usage);
    return 2;
  }
  return overCapture(paths[0]!, (capture) => {
    process.stdout.write(`${JSON.stringify(inspectCapture(capture, secrets))}\n`);
    return 0;
  });
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
