import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  clientInfoPdu,
  InfoFlag,
  mcsPdu,
  PduType2,
  readShareControlPdus,
  StreamInspector,
  shareControlPdu,
  shareDataPdu,
  tpkt,
  x224Data,
} from '@lucid-sessions/rdp';
import { BulkDecompressor, ncrushTables } from '@lucid-sessions/rdp/bulk';
import { frameFlags } from '@lucid-sessions/recording';
import { captureStreams, readCapture } from '@lucid-sessions/testkit';
import { mppcEncode, NcrushEncoder, type Token, tokens } from '@lucid-sessions/testkit/bulk-encoders';
import { decode, encode, Reader, Writer } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { channels, dataOf, pdusOf, RunningRelay } from './support/running-relay.ts';

const secret = Buffer.from('9f1c03e5a77db24488d1c6f0205b7e93', 'hex');
/** Save Session Info of type 3 with the automatic reconnection packet, [MS-RDPBCGR] 2.2.10.1.1.4. */
const info = (type = 3, bytes: Uint8Array = secret): Uint8Array =>
  new Writer().u32le(type).u16le(38).u32le(1).u32le(28).u32le(28).u32le(1).u32le(2).slice(bytes).zeros(570).bytes();

const COMPRESSED = 0x20;
const AT_FRONT = 0x40;
const FLUSHED = 0x80;

/** A share data PDU as a server sends it. */
function sharePdu(pduType2: number, data: Uint8Array, compressedType: number): Uint8Array {
  const compressedLength = compressedType === 0 ? 0 : data.length + 18;
  const header = { shareId: 0x103ea, pad1: 0, streamId: 1, uncompressedLength: 0xffff, pduType2 };
  const body = encode(shareDataPdu, { ...header, compressedType, compressedLength, data });
  return dataOf('server', channels.io, encode(shareControlPdu, { pduType: 0x17, pduSource: 1002, body }));
}

/** One direction's compressor of a type, as a server keeps it. */
class Compressor {
  readonly type: number;
  #history = new Uint8Array(0);
  #inner = new Uint8Array(0);
  readonly #ncrush = new NcrushEncoder();
  constructor(type: number) {
    this.type = type;
  }
  pdu(pduType2: number, plain: Uint8Array): Uint8Array {
    const data = this.#compress(plain);
    this.#history = Buffer.concat([this.#history, plain]);
    return sharePdu(
      pduType2,
      data,
      COMPRESSED | this.type | (this.#history.length === plain.length ? FLUSHED | AT_FRONT : 0),
    );
  }
  #compress(plain: Uint8Array): Uint8Array {
    if (this.type === 0) return mppcEncode(tokens(plain, this.#history, 3, 4000), false);
    if (this.type === 1) return mppcEncode(tokens(plain, this.#history, 3, 32_000), true);
    if (this.type === 2) return this.#ncrush.encode(tokens(plain, this.#history, 3, 700));
    return this.#rdp61(plain);
  }
  /** [MS-RDPEGDI] 2.2.2.4.1: matches of some length at level 1, then RDP 5.0 over what is left. */
  #rdp61(plain: Uint8Array): Uint8Array {
    const matches = new Writer();
    const literals: number[] = [];
    let matchCount = 0;
    let at = 0;
    for (const token of tokens(plain, this.#history, 16, 4000)) {
      if (typeof token === 'number') literals.push(token);
      else {
        matchCount += 1;
        matches
          .u16le(token.length)
          .u16le(at)
          .u32le(this.#history.length + at - token.distance);
      }
      at += typeof token === 'number' ? 1 : token.length;
    }
    const inner = new Writer().u16le(matchCount).slice(matches.bytes()).slice(Uint8Array.from(literals)).bytes();
    const first = this.#inner.length === 0 ? FLUSHED | AT_FRONT : 0;
    const outer = mppcEncode(tokens(inner, this.#inner, 3, 32_000), true);
    this.#inner = Buffer.concat([this.#inner, inner]);
    return Buffer.concat([Uint8Array.of(0x11, COMPRESSED | 1 | first), outer]);
  }
}

const shareOf = (pdu: Uint8Array) => {
  const mcs = decode(mcsPdu, decode(x224Data, decode(tpkt, pdu).payload).payload);
  assert.equal(mcs.kind, 'sendDataIndication');
  return decode(
    shareDataPdu,
    readShareControlPdus(new Reader('data' in mcs ? (mcs.data as Uint8Array) : new Uint8Array()))[0]!.body,
  );
};
/** What a reader of the recording makes of compressed share PDUs, one after the other. */
function read(pdus: readonly Uint8Array[]): Uint8Array[] {
  const bulk = new BulkDecompressor();
  return pdus.map((pdu) => {
    const { data, compressedType } = shareOf(pdu);
    return new Uint8Array(bulk.decompress(data, compressedType));
  });
}

/** A session whose client offers RDP 6.1, as mstsc and FreeRDP do; the capture's offers less. */
function offering(): RunningRelay {
  const session = new RunningRelay().activated();
  const strings = { domain: '', userName: '', password: '', alternateShell: '', workingDir: '' };
  const info = { codePage: 0, flags: InfoFlag.unicode | InfoFlag.compression | (3 << 9), ...strings };
  session.send('client', dataOf('client', channels.io, encode(clientInfoPdu, { flags: 0x40, flagsHi: 0, info })));
  session.frames();
  return session;
}

const secretless = (plain: Uint8Array): Buffer => Buffer.from(plain).fill(0, 26, 42);
const updates = fc.array(
  fc.array(fc.constantFrom(0, 1, 2, 7, 0x90), { minLength: 20, maxLength: 300 }).map((bytes) => Uint8Array.from(bytes)),
  { minLength: 1, maxLength: 5 },
);

for (const type of [0, 1, 2, 3])
  test(`compression type ${type}: the secret is taken out of the payload, and all behind it decompresses as it was`, () => {
    fc.assert(
      fc.property(updates, updates, fc.integer({ min: 1, max: 2000 }), (before, after, pieceBytes) => {
        const server = new Compressor(type);
        const session = offering();
        const plain = [...before, info(), ...after];
        for (const [i, bytes] of plain.entries()) {
          const pdu = server.pdu(i === before.length ? PduType2.saveSessionInfo : PduType2.update, bytes);
          assert.ok(session.send('server', pdu, pieceBytes).equals(pdu), 'the client gets what the server sent');
        }
        const frames = session.frames();
        const found = read(frames.map(({ bytes }) => bytes));
        for (const [i, bytes] of plain.entries()) {
          if (i !== before.length) assert.deepEqual(found[i], Uint8Array.from(bytes));
          else assert.deepEqual(secretless(found[i]!), secretless(bytes));
        }
        const recorded = found[before.length]!.subarray(26, 42);
        // RDP 6.0 leaves which width the byte's code had, the others its highest bit, or nothing.
        const left = (byte: number): number =>
          type === 2 ? ncrushTables.literalLengths.indexOf(ncrushTables.literalLengths[byte]!) : byte & 0x80;
        for (const [at, byte] of recorded.entries()) assert.ok(byte === left(secret[at]!) || byte === 0);
        assert.equal(frames[before.length]!.flags, 1 | frameFlags.blanked);
        assert.equal(session.relay.counters.unread, 0);
      }),
      { numRuns: 60 },
    );
  });

test('what is left of a secret does not tell it: many secrets are recorded alike', () => {
  for (const type of [0, 1, 2, 3]) {
    const seen = new Set<string>();
    for (let i = 0; i < 64; i += 1) {
      const session = offering();
      const ascii = Buffer.from(Array.from({ length: 16 }, (_, at) => 0x20 + ((i * 7 + at * 13) % 64)));
      session.send('server', new Compressor(type).pdu(PduType2.saveSessionInfo, info(3, ascii)));
      seen.add(Buffer.from(read([session.frames()[0]!.bytes])[0]!.subarray(26, 42)).toString('hex'));
    }
    // Width classes of RDP 6.0 codes differ; the others leave one and the same.
    assert.ok(type === 2 ? seen.size > 1 : seen.size === 1, `type ${type}: ${seen.size}`);
  }
});

test('a secret that is sent again refers to the first, which is gone', () => {
  for (const type of [0, 1, 2, 3]) {
    const server = new Compressor(type);
    const session = new RunningRelay().activated();
    session.frames();
    for (let i = 0; i < 3; i += 1) session.send('server', server.pdu(PduType2.saveSessionInfo, info()));
    for (const bytes of read(session.frames().map((frame) => frame.bytes)))
      assert.equal(Buffer.from(bytes).includes(secret.subarray(0, 4)), false);
  }
});

test('a name in a Save Session Info of another type is kept where the type is told', () => {
  const session = new RunningRelay().activated();
  session.frames();
  session.send('server', sharePdu(PduType2.saveSessionInfo, mppcEncode([...info(0)], true), COMPRESSED | FLUSHED | 1));
  assert.ok(Buffer.from(read([session.frames()[0]!.bytes])[0]!).includes(secret));
});

test('codes that can not be read leave nothing of the payload, and the client gets it all the same', () => {
  for (const [type, data] of [
    [7, info()],
    [2, Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, ...secret)],
    [3, Uint8Array.of(0x11, 0x21, 0xff, 0xff, 0xff, ...secret)],
    [3, Uint8Array.of(0x01, 0x00, 9, 0, ...secret)],
  ] as const) {
    const session = new RunningRelay().activated();
    session.frames();
    const pdu = Buffer.from(sharePdu(PduType2.saveSessionInfo, data, COMPRESSED | type));
    assert.ok(session.send('server', pdu).equals(pdu));
    const [frame] = session.frames();
    assert.equal(frame!.bytes.includes(secret.subarray(0, 6)), false, `type ${type}`);
    assert.equal(session.relay.counters.unread, 1);
  }
});

test('behind other share PDUs, large or broken, the secret is found', () => {
  const inner = (pduType2: number, data: Uint8Array, compressedType = 0): Uint8Array => {
    const body = encode(shareDataPdu, {
      shareId: 1,
      pad1: 0,
      streamId: 1,
      uncompressedLength: 0,
      pduType2,
      compressedType,
      compressedLength: 0,
      data,
    });
    return encode(shareControlPdu, { pduType: 0x17, pduSource: 1002, body });
  };
  const large = inner(PduType2.update, new Uint8Array(9000));
  const broken = encode(shareControlPdu, { pduType: 0x17, pduSource: 1002, body: new Uint8Array(3) });
  const saved = inner(PduType2.saveSessionInfo, info());
  for (const parts of [
    [large, saved],
    [broken, saved],
    [saved, Uint8Array.of(1, 2, 3)],
    [saved, broken, large],
  ]) {
    const session = new RunningRelay().activated();
    session.frames();
    const { updates: before } = session.relay.counters;
    const pdu = Buffer.from(dataOf('server', channels.io, Buffer.concat(parts)));
    assert.ok(session.send('server', pdu, 700).equals(pdu));
    assert.equal(session.frames()[0]!.bytes.includes(secret), false);
    if (parts[0] === large) assert.equal(session.relay.counters.updates, before + 1, 'a held update is counted');
  }
});

/** Puts a compressed Save Session Info behind the real stream of a server that speaks RDP 6.1, over what its history holds. */
test('behind a real RDP 6.1 stream the place of the secret is known from its history', () => {
  const capture = readCapture(new URL('../../../testkit/captures/shadow-bpp32.rdpcap.gz', import.meta.url).pathname);
  const streams = captureStreams({ ...capture, records: capture.records.filter((record) => !record.beforeTls) });
  const session = new RunningRelay({ requestedProtocols: 11 });
  const bulk = new BulkDecompressor();
  const follow = new StreamInspector({ server: (data, flags) => bulk.decompress(data, flags) });
  session.send('client', streams.client);
  follow.push('client', streams.client);
  for (const pdu of pdusOf(streams.server).slice(0, 400)) {
    session.send('server', pdu, 1460);
    follow.push('server', pdu);
  }
  const { level2 } = bulk.snapshot().xcrush!;
  assert.ok(level2.offset > 1000, 'the real stream uses both levels');
  session.frames();
  const past = level2.history.subarray(0, level2.offset);
  const inner = Buffer.concat([info(), past.subarray(past.length - 64)]);
  const data = Buffer.concat([
    Uint8Array.of(0x12, COMPRESSED | 1),
    mppcEncode(tokens(inner, past, 3, 4000) as Token[], true),
  ]);
  const pdu = sharePdu(PduType2.saveSessionInfo, data, COMPRESSED | 3);
  assert.ok(session.send('server', pdu).equals(pdu));
  const [frame] = session.frames();
  const { data: recorded } = shareOf(frame!.bytes);
  assert.deepEqual(
    Buffer.from(bulk.decompress(recorded, COMPRESSED | 3)).fill(0, 26, 42),
    Buffer.from(inner).fill(0, 26, 42),
  );
  assert.equal(session.relay.counters.unread, 0);
  assert.equal(Buffer.from(frame!.bytes).includes(secret.subarray(0, 3)), false);
});
