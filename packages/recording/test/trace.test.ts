import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { PNG } from 'pngjs';
import { pixelsBytes, type RecordingTrace, traceOf, traceText, withTrace } from '../src/index.ts';

const picture = new PNG({ width: 3, height: 2 });
picture.data.fill(0x7f);
const png = new Uint8Array(PNG.sync.write(picture));
const traces: fc.Arbitrary<RecordingTrace> = fc.record({
  v: fc.constant(1 as const),
  session_id: fc.string({ unit: 'grapheme', maxLength: 100 }),
  merkle_root: fc.option(fc.constant('ab'.repeat(32))),
  from_us: fc.nat(),
  to_us: fc.nat(),
  pixels_sha256: fc.option(fc.constant('cd'.repeat(32))),
});

describe('the trace of a picture', () => {
  it('is read as it was written, and leaves the picture a PNG that others read', () => {
    assert.equal(traceOf(png), null);
    fc.assert(
      fc.property(traces, (trace) => {
        const traced = withTrace(png, trace);
        assert.equal(traceOf(traced), traceText(trace));
        const read = PNG.sync.read(Buffer.from(traced));
        assert.deepEqual([read.width, read.height, read.data], [3, 2, picture.data]);
      }),
      { numRuns: 50 },
    );
  });

  it('is refused where it is damaged, and where there is no PNG', () => {
    const trace = { v: 1, session_id: 's', merkle_root: null, from_us: 1, to_us: 1, pixels_sha256: null } as const;
    const traced = withTrace(png, trace);
    const at = Buffer.from(traced).indexOf('session_id');
    traced[at]! ^= 1;
    assert.throws(() => traceOf(traced), DecodeError);
    for (const bad of [new Uint8Array(0), png.subarray(1), png.subarray(0, 20)]) {
      assert.throws(() => traceOf(bad), DecodeError);
      assert.throws(() => withTrace(bad, trace), DecodeError);
    }
    fc.assert(
      fc.property(fc.nat(traced.length - 1), fc.nat(255), (where, byte) => {
        const bytes = withTrace(png, trace);
        bytes[where] = byte;
        try {
          traceOf(bytes);
        } catch (error) {
          assert.ok(error instanceof DecodeError);
        }
      }),
    );
  });

  it('takes its digest of size and colours, not of what can be seen through', () => {
    const data = Uint8Array.of(1, 2, 3, 255, 4, 5, 6, 0);
    assert.deepEqual([...pixelsBytes({ width: 2, height: 1, data })], [0, 0, 0, 2, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6]);
  });
});
