import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  countFrames,
  FRAME_BODY_BYTES_MAX,
  type Frame,
  FrameWriter,
  frameFlags,
  PAYLOAD_BYTES_MAX,
  PAYLOAD_HEADER_BYTES,
  readFrames,
  readPayload,
  readPayloadHeader,
  writePayloadHeader,
} from '../src/index.ts';

const frames = fc.array(
  fc.record(
    {
      kind: fc.constantFrom<0 | 1>(0, 1),
      flags: fc.integer({ min: 0, max: 0x7f }),
      channelId: fc.integer({ min: 0, max: 0xffff }),
      timeUs: fc.maxSafeNat(),
      body: fc.uint8Array({ maxLength: 300 }),
    },
    { noNullPrototype: true },
  ),
  { maxLength: 20 },
);
const header = fc.record({ firstFrameNumber: fc.maxSafeNat(), openedUs: fc.maxSafeNat() }, { noNullPrototype: true });

function write(
  list: Frame[],
  writer = new FrameWriter({ start: PAYLOAD_HEADER_BYTES, capacityBytes: 64 }),
): FrameWriter {
  for (const frame of list) writer.append(frame.kind, frame.flags, frame.channelId, frame.timeUs, frame.body);
  return writer;
}

const codeOf = (read: () => unknown): string => {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof DecodeError, String(error));
    return error.code;
  }
  return 'none';
};

describe('chunk payload', () => {
  it('is the 32-byte header and frames, byte for byte as laid out in ARCHITECTURE.md', () => {
    const writer = write([
      {
        kind: 0,
        flags: frameFlags.serverToClient | frameFlags.fastPath,
        channelId: 1003,
        timeUs: 2 ** 32 + 5,
        body: Uint8Array.of(7, 8),
      },
    ]);
    assert.equal(
      Buffer.from(writer.payload({ firstFrameNumber: 9, openedUs: 2 ** 40 })).toString('hex'),
      '4c53503100000001000000000000000900000100000000000000000000000000' +
        '002103eb00000002' +
        '0000000100000005' +
        '0708',
    );
  });

  it('gives back what was written', () => {
    fc.assert(
      fc.property(frames, header, (list, head) => {
        const payload = write(list).payload(head);
        assert.deepEqual([...readPayload(payload)], list);
        assert.deepEqual(readPayloadHeader(payload), { ...head, framesCount: list.length });
        assert.deepEqual(countFrames(payload, PAYLOAD_HEADER_BYTES), {
          framesCount: list.length,
          lastTimeUs: list.at(-1)?.timeUs ?? 0,
        });
      }),
    );
  });

  it('refuses every payload that is cut or has bytes behind it', () => {
    fc.assert(
      fc.property(frames, header, fc.nat(), (list, head, cut) => {
        const payload = write(list).payload(head).slice();
        assert.equal(
          codeOf(() => [...readPayload(payload.subarray(0, cut % payload.length))]),
          'truncated',
        );
        assert.equal(
          codeOf(() => [...readPayload(Buffer.concat([payload, Uint8Array.of(0)]))]),
          'invalid',
        );
      }),
    );
  });

  it('throws nothing but DecodeError on random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        codeOf(() => [...readFrames(bytes)]);
        const payload = new Uint8Array(PAYLOAD_HEADER_BYTES + bytes.length);
        writePayloadHeader(payload, { framesCount: 3, firstFrameNumber: 0, openedUs: 0 });
        payload.set(bytes, PAYLOAD_HEADER_BYTES);
        codeOf(() => [...readPayload(payload)]);
      }),
    );
  });

  it('names what it does not know', () => {
    const payload = write([{ kind: 0, flags: 0, channelId: 0, timeUs: 0, body: new Uint8Array(0) }])
      .payload({ firstFrameNumber: 0, openedUs: 0 })
      .slice();
    const changed = (at: number, value: number): Uint8Array => {
      const copy = payload.slice();
      copy[at] = value;
      return copy;
    };
    assert.equal(
      codeOf(() => [...readPayload(changed(0, 0))]),
      'invalid',
    );
    assert.equal(
      codeOf(() => [...readPayload(changed(31, 1))]),
      'unsupported',
    );
    assert.equal(
      codeOf(() => [...readPayload(changed(32, 2))]),
      'unsupported',
    );
    assert.equal(
      codeOf(() => [...readPayload(changed(33, 0x80))]),
      'unsupported',
    );
    assert.equal(
      codeOf(() => [...readPayload(changed(36, 1))]),
      'limit',
    );
    assert.equal(
      codeOf(() => [...readPayload(changed(40, 0xff))]),
      'limit',
    );
    const huge = Object.defineProperty(new Uint8Array(0), 'length', { value: PAYLOAD_BYTES_MAX + 1 });
    assert.equal(
      codeOf(() => [...readPayload(huge)]),
      'limit',
    );
  });
});

describe('FrameWriter', () => {
  it('answers false when a given buffer is full and keeps what it had', () => {
    const writer = new FrameWriter({ buffer: new Uint8Array(40) });
    const body = new Uint8Array(20).fill(5);
    assert.equal(writer.tryAppend(0, 0, 1, 10, body), true);
    const before = writer.bytes().slice();
    assert.equal(writer.tryAppend(0, 0, 1, 11, body), false);
    assert.equal(writer.appendEncoded(new Uint8Array(10), 1), false);
    assert.throws(() => writer.append(0, 0, 1, 11, body), RangeError);
    assert.deepEqual(writer.bytes(), before);
    assert.equal(writer.framesCount, 1);
  });

  it('takes encoded batches, also into shared memory, and starts over with reset', () => {
    fc.assert(
      fc.property(frames, frames, (first, second) => {
        const batch = write(second, new FrameWriter());
        const shared = new FrameWriter({
          buffer: new Uint8Array(new SharedArrayBuffer(32 * 1024)),
          start: PAYLOAD_HEADER_BYTES,
        });
        for (const writer of [new FrameWriter({ start: PAYLOAD_HEADER_BYTES, capacityBytes: 32 }), shared]) {
          write(first, writer).reset();
          assert.equal(writer.length, PAYLOAD_HEADER_BYTES);
          write(first, writer).appendEncoded(batch.bytes(), batch.framesCount);
          const payload = writer.payload({ firstFrameNumber: 0, openedUs: 1 });
          assert.deepEqual(
            [...readPayload(payload)].map((frame) => ({ ...frame, body: frame.body.slice() })),
            [...first, ...second],
          );
        }
      }),
    );
  });

  it('refuses what a reader would refuse', () => {
    const writer = new FrameWriter();
    assert.throws(() => writer.append(0, 0, 0, 0, new Uint8Array(FRAME_BODY_BYTES_MAX + 1)), RangeError);
    assert.throws(() => writer.append(0, 0, 0, -1, new Uint8Array(0)), RangeError);
    assert.throws(() => writer.payload({ firstFrameNumber: 0, openedUs: 0 }), RangeError);
    assert.throws(() => new FrameWriter({ buffer: new Uint8Array(1), start: 2 }), RangeError);
    const head = { framesCount: 0, firstFrameNumber: 0, openedUs: 0 };
    assert.throws(() => writePayloadHeader(new Uint8Array(31), head), RangeError);
    assert.throws(() => writePayloadHeader(new Uint8Array(32), { ...head, openedUs: 0.5 }), RangeError);
    assert.throws(() => writePayloadHeader(new Uint8Array(32), { ...head, framesCount: 2 ** 32 }), RangeError);
  });
});
