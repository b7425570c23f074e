import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { type CodecCommand, FreeRdpCodecs } from '@lucid-sessions/testkit';
import {
  mppcEncode,
  NcrushEncoder,
  type Token,
  type ZgfxToken,
  zgfxMultipart,
  zgfxSegment,
} from '@lucid-sessions/testkit/bulk-encoders';
import { compare, type Decode, Random } from '@lucid-sessions/testkit/differential';
import {
  MppcDecompressor,
  NcrushDecompressor,
  packetAtFront,
  packetCompressed,
  packetFlushed,
  XcrushDecompressor,
  ZgfxDecompressor,
} from '../src/bulk/index.ts';

const built = FreeRdpCodecs.build();
const required = process.env.REQUIRE_PEERS === '1';
const skip = 'missing' in built && !required ? `needs ${built.missing}: run .ci/install-peers` : false;
const freeRdp = built as FreeRdpCodecs;
const streamsCount = 1000;

interface Engine {
  readonly name: string;
  readonly codec: 'mppc' | 'ncrush' | 'xcrush';
  /** Of MPPC. */
  readonly level: number;
  readonly type: number;
  readonly messageBytesMax: number;
  readonly messagesMax: number;
  readonly begin: () => { decompress(data: Uint8Array, flags: number): Uint8Array };
}

const mppc8K = () => new MppcDecompressor(8192);
const mppc64K = () => new MppcDecompressor(65536);
const engines: readonly Engine[] = [
  { name: 'MPPC 8K', codec: 'mppc', level: 0, type: 0, messageBytesMax: 4000, messagesMax: 8, begin: mppc8K },
  { name: 'MPPC 64K', codec: 'mppc', level: 1, type: 1, messageBytesMax: 15000, messagesMax: 8, begin: mppc64K },
  {
    name: 'NCRUSH',
    codec: 'ncrush',
    level: 0,
    type: 2,
    messageBytesMax: 15000,
    messagesMax: 8,
    begin: () => new NcrushDecompressor(),
  },
  {
    name: 'XCRUSH',
    codec: 'xcrush',
    level: 0,
    type: 3,
    messageBytesMax: 15000,
    messagesMax: 4,
    begin: () => new XcrushDecompressor(),
  },
];

/** Messages that repeat parts of earlier ones. */
function messages(random: Random, { messagesMax, messageBytesMax }: Engine): Uint8Array[] {
  const all: Uint8Array[] = [];
  for (let left = 1 + random.of(messagesMax); left > 0; left -= 1) {
    const message = random.data(random.of(messageBytesMax));
    if (all.length > 0 && random.often(2)) {
      const earlier = random.one(all);
      const from = random.of(earlier.length + 1);
      message.set(earlier.subarray(from, from + message.length));
    }
    all.push(message);
  }
  return all;
}

function encoded({ codec, level }: Engine, streams: readonly Uint8Array[][]) {
  const operation = `${codec}Encode` as const;
  return freeRdp.run(streams.map((stream) => stream.map((bytes) => ({ operation, a: level, bytes }))));
}

const decodeCommand = ({ codec, level, type }: Engine, flags: number, bytes: Uint8Array): CodecCommand => ({
  operation: `${codec}Decode`,
  a: level,
  b: flags | type,
  bytes,
});

const decoderOf =
  ({ begin }: Engine): (() => Decode) =>
  () => {
    const decompressor = begin();
    return ({ bytes, b = 0 }) => decompressor.decompress(bytes, b);
  };

describe('bulk compression beside FreeRDP', { skip }, () => {
  assert.ok(skip !== false || !('missing' in built), 'REQUIRE_PEERS=1, but gcc or freerdp2-dev is missing');
  after(() => freeRdp.close());

  for (const engine of engines) {
    test(`${engine.name}: what FreeRDP compresses comes back, past the history's end and flushes`, () => {
      const random = new Random(engine.type + 1);
      const streams = random.list(streamsCount, () => messages(random, engine));
      const seen = new Set<number>();
      for (const [number, answers] of encoded(engine, streams).entries()) {
        const decompressor = engine.begin();
        for (const [index, message] of streams[number]!.entries()) {
          const answer = answers[index];
          // FreeRDP's own compressor fails now and then; nothing can be said of what follows.
          if (!answer || answer.status < 0) break;
          seen.add(answer.status & 0xe0);
          const output = decompressor.decompress(answer.bytes, answer.status | engine.type);
          assert.ok(Buffer.compare(output, message) === 0, `stream ${number}, message ${index}`);
        }
      }
      assert.ok(seen.has(packetCompressed));
      if (engine.codec !== 'xcrush') assert.ok(seen.has(packetCompressed | packetAtFront));
    });

    test(`${engine.name}: any flags and damage are taken as FreeRDP takes them`, () => {
      const random = new Random(engine.type + 101);
      const answers = encoded(
        engine,
        random.list(streamsCount, () => messages(random, engine)),
      );
      const streams = answers.map((stream) =>
        stream.flatMap(({ status, bytes }) => {
          let flags = status & 0xe0;
          if (random.often(8)) flags ^= packetAtFront;
          if (random.often(12)) flags ^= packetFlushed;
          // Without PACKET_COMPRESSED FreeRDP's RDP 6.1 looks for a header in data that has none.
          if (random.often(12) && engine.codec !== 'xcrush') flags ^= packetCompressed;
          const usable = status >= 0 && (engine.codec === 'xcrush' ? flags & packetCompressed : flags !== 0);
          return usable ? [decodeCommand(engine, flags, random.often(4) ? random.damaged(bytes) : bytes)] : [];
        }),
      );
      const { same, bothRefuse } = compare(freeRdp, streams, decoderOf(engine));
      assert.ok(same > streamsCount && bothRefuse > 0, `${same} same, ${bothRefuse} refused by both`);
    });
  }

  test('RDP 6.1 past the end of its two megabytes', () => {
    const engine = engines[3]!;
    const random = new Random(61);
    const blocks = random.list(40, () => random.data(14_000));
    // Each message is like one of long ago with something new in it.
    const streams = random.list(4, () =>
      random.list(400, () => {
        const message = random.one(blocks).slice();
        message.set(random.data(200), random.of(13_000));
        return message;
      }),
    );
    let fronts = 0;
    for (const [number, answers] of encoded(engine, streams).entries()) {
      const decompressor = engine.begin();
      for (const [index, message] of streams[number]!.entries()) {
        const { status, bytes } = answers[index]!;
        if (status & packetCompressed && bytes[0]! & 0x04) fronts += 1;
        assert.ok(Buffer.compare(decompressor.decompress(bytes, status | 3), message) === 0, `message ${index}`);
      }
    }
    assert.ok(fronts >= 2, `${fronts} times to the front`);
  });

  /** Tokens no compressor would choose: matches of any distance and length, also into what an earlier round left. */
  const tokensOf = (random: Random, distanceMax: number, lengthMax: number): Token[] =>
    random.list(1 + random.of(60), () =>
      random.often(3)
        ? {
            distance: 1 + random.of(random.often(2) ? 60 : distanceMax - 1),
            length: 3 + random.of(random.often(4) ? lengthMax : 20),
          }
        : random.of(256),
    );

  for (const [engine, distanceMax, lengthMax] of [
    [engines[0]!, 8192, 900],
    [engines[1]!, 65536, 5000],
    [engines[2]!, 65535, 700],
  ] as const)
    test(`${engine.name}: any matches are followed as FreeRDP follows them`, () => {
      const random = new Random(engine.type + 201);
      const streams = random.list(streamsCount, () => {
        const ncrush = new NcrushEncoder();
        return random.list(1 + random.of(10), (index) => {
          const tokens = tokensOf(random, distanceMax, lengthMax);
          const bytes = engine.codec === 'ncrush' ? ncrush.encode(tokens) : mppcEncode(tokens, engine.level === 1);
          const atFront = engine.codec === 'mppc' && random.often(3) ? packetAtFront : 0;
          return decodeCommand(engine, packetCompressed | (index === 0 ? packetFlushed : atFront), bytes);
        });
      });
      const { same } = compare(freeRdp, streams, decoderOf(engine));
      assert.ok(same > streamsCount, `${same} same`);
    });

  const zgfx = (): Decode => {
    const decompressor = new ZgfxDecompressor();
    return ({ bytes }) => decompressor.decompress(bytes);
  };

  test('ZGFX: any tokens, in one segment and in many', () => {
    const random = new Random(8);
    const streams = random.list(streamsCount, () => {
      let past = 0;
      return random.list(1 + random.of(5), (): CodecCommand => {
        const segments = random.list(1 + random.of(3), () => {
          const before = past;
          const tokens = random.list(1 + random.of(40), (): ZgfxToken => {
            const length = 3 + random.of(random.often(5) ? 2000 : 30);
            const run = random.often(6) ? random.bytes(1 + random.of(60)) : null;
            const token =
              run ?? (past > 0 && random.often(2) ? { distance: 1 + random.of(past), length } : random.of(256));
            past += typeof token === 'number' ? 1 : token.length;
            return token;
          });
          return { segment: zgfxSegment(tokens), bytes: past - before };
        });
        const whole = segments.reduce((sum, { bytes }) => sum + bytes, 0);
        const bytes =
          segments.length === 1
            ? Uint8Array.of(0xe0, ...segments[0]!.segment)
            : zgfxMultipart(
                segments.map(({ segment }) => segment),
                whole,
              );
        return { operation: 'zgfxDecode', bytes };
      });
    });
    const valid = compare(freeRdp, streams, zgfx);
    assert.deepEqual({ ...valid, same: 0 }, { same: 0, bothRefuse: 0, onlyOurs: 0, onlyTheirs: 0, crashed: 0 });
    assert.ok(valid.same > streamsCount, `${valid.same} same`);
  });

  test('ZGFX past the end of its ring', () => {
    const random = new Random(88);
    const streams = random.list(6, () => {
      const fill = random.list(37, (): CodecCommand => {
        const bytes = new Uint8Array(65_536 + 1);
        bytes.set([0xe0, 0x04]);
        bytes.set(random.data(65_535), 2);
        return { operation: 'zgfxDecode', bytes };
      });
      // 75,205 bytes before the ring's end begin messages that go over it.
      const over = random.list(60, (): CodecCommand => {
        const tokens = random.list(8, () => ({
          distance: 2_400_000 - random.of(random.often(2) ? 4000 : 2_300_000),
          length: 3 + random.of(2000),
        }));
        return { operation: 'zgfxDecode', bytes: Uint8Array.of(0xe0, ...zgfxSegment(tokens)) };
      });
      return [...fill, ...over];
    });
    const { same, ...others } = compare(freeRdp, streams, zgfx);
    assert.deepEqual(others, { bothRefuse: 0, onlyOurs: 0, onlyTheirs: 0, crashed: 0 });
    assert.equal(same, 6 * 97);
  });
});
