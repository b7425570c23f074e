/** Captures handed to a recorder: what is kept of them is what a live connection leaves, and what is wrong with them is said first. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { type ChunkToSeal, type ImportRequest, LucidError, type SessionDocument } from '@lucid-sessions/contract';
import { type CaptureRecord, decodeCapture, encodeCapture, frameFlags, frameKinds } from '@lucid-sessions/recording';
import * as fc from 'fast-check';
import { type Gateway, type GatewayOptions, receipt, startGateway } from './gateway-kit.ts';

const captures = join(import.meta.dirname, '../../../testkit/captures');
const zipped = (name: string): Uint8Array => readFileSync(join(captures, `${name}.rdpcap.gz`));
const unzipped = (name: string): Uint8Array => gunzipSync(zipped(name));

interface Desk extends Gateway {
  sessions: SessionDocument[];
  hand: (capture: Uint8Array, more?: Partial<ImportRequest>) => Promise<SessionDocument>;
}

async function desk(t: TestContext, options: Partial<GatewayOptions> = {}): Promise<Desk> {
  const sessions: SessionDocument[] = [];
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: false, code: 'unknown_session', message: 'none' }),
    beginImport: async ({ session }) => {
      sessions.push(session);
      return { session };
    },
    ...options,
  });
  const request: Omit<ImportRequest, 'capture'> = {
    sessionId: 'imported-1',
    name: 'one',
    description: null,
    by: 'alice',
    sourceName: 'one.pcapng',
    sourceSha256: 'ab'.repeat(32),
    metadata: {},
    retentionDays: null,
  };
  const hand: Desk['hand'] = async (capture, more) =>
    (await gateway.recorder.port.importCapture({ ...request, ...more, capture })).session;
  return { ...gateway, sessions, hand };
}

const refusal = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof LucidError, String(error));
  assert.match(error.message, pattern);
  return true;
};

/** Both directions of a capture as its recording has them, and as the file had them. */
function streams(records: Iterable<{ fromServer: boolean; body: Uint8Array }>): [Buffer, Buffer] {
  const of = (fromServer: boolean): Buffer =>
    Buffer.concat([...records].filter((record) => record.fromServer === fromServer).map(({ body }) => body));
  return [of(false), of(true)];
}

for (const name of ['xorg-clip-drive', 'shadow-gfx-avc420', 'gnome-type-gfx-default', 'web-shadow-nla'])
  test(`${name}: every byte is in the recording but the secrets, at the capture's times, in chunks of bounded age`, async (t) => {
    const { hand, chunks, reported, frames, reports, sessions } = await desk(t, { config: { chunkAgeMs: 2000 } });
    const bytes = unzipped(name);
    await hand(gzipSync(bytes));
    const drained = await reported('drained');
    assert.equal(drained.chunksCount, chunks.length);
    const { records } = decodeCapture(bytes);
    const pdus = frames().filter(({ kind }) => kind === frameKinds.pdu);
    const kept = streams(
      pdus.map(({ flags, body }) => ({ fromServer: (flags & frameFlags.serverToClient) !== 0, body })),
    );
    const said = streams(records.map(({ fromServer, bytes: body }) => ({ fromServer, body })));
    for (const side of [0, 1] as const) {
      // What came after the last whole PDU is none.
      assert.ok(said[side].length - kept[side].length < 65_536);
      let zeroed = 0;
      for (const [at, byte] of kept[side].entries())
        if (byte !== said[side][at]) {
          assert.ok(byte === 0 || byte === 0x78, `byte ${at} of side ${side} is another`);
          zeroed += 1;
        }
      assert.ok(zeroed < 5000);
    }
    assert.ok(pdus.some(({ flags }) => (flags & frameFlags.blanked) !== 0));
    const changed = frameFlags.receivedOnly | frameFlags.deliveredOnly;
    assert.ok(pdus.every(({ flags }) => (flags & changed) === 0));
    const times = frames().map(({ timeUs }) => timeUs);
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
    const lastMs = records.reduce((most, { timeMs }) => Math.max(most, timeMs), 0);
    assert.ok(Math.abs(times.at(-1)! - lastMs * 1000) <= 1_000_000);
    for (const [at, chunk] of chunks.entries()) {
      assert.equal(chunk.index, at);
      assert.equal(chunk.final, at === chunks.length - 1);
      assert.ok(chunk.closedUs - chunk.openedUs <= 2_000_000);
      assert.ok(at === 0 || chunk.openedUs >= chunks[at - 1]!.closedUs);
    }
    const ended = await reported('ended');
    assert.deepEqual([ended.reason, ended.failed], ['imported', false]);
    assert.equal(ended.statistics.durationUs, times.at(-1));
    assert.ok(
      reports.every(({ kind }) => kind !== 'started'),
      'no connection is claimed',
    );
    const imported = sessions[0]!.imported!;
    assert.equal(imported.capture_sha256, createHash('sha256').update(bytes).digest('hex'));
    assert.deepEqual([imported.by, imported.source_name, imported.problem], ['alice', 'one.pcapng', null]);
    assert.equal(chunks[0]!.openedUs, Date.parse(imported.captured_from!) * 1000);
  });

/** The records of a small capture, and a capture of changed ones. */
const small = (): CaptureRecord[] => decodeCapture(unzipped('xorg-clip-drive')).records;
const capture = (records: CaptureRecord[], meta: Record<string, unknown> = {}): Uint8Array =>
  gzipSync(encodeCapture({ meta, records }));

test('what is no capture, or holds nothing, is refused and leaves no session', async (t) => {
  const { hand, sessions, reports, recorder } = await desk(t);
  const hello = small().slice(0, 2);
  const whole = gunzipSync(capture(small()));
  const cases: [Uint8Array, RegExp][] = [
    [Buffer.from('nothing'), /no gzip file/],
    [gzipSync('nothing'), /not an \.rdpcap file/],
    [gzipSync('RDPCAP1\n'), /damaged/],
    [gzipSync(Buffer.concat([Buffer.from('RDPCAP1\n'), Buffer.from('ffffffff', 'hex')])), /described in/],
    [
      gzipSync(Buffer.concat([Buffer.from('RDPCAP1\n'), Buffer.from('04000000', 'hex'), Buffer.from('null')])),
      /negotiation/,
    ],
    [gzipSync(whole.subarray(0, whole.length - 1)), /damaged/],
    [zipped('xorg-clip-drive').subarray(0, 5000), /no gzip file, or a damaged one/],
    [Buffer.concat(Array<Buffer>(17).fill(gzipSync(Buffer.alloc(16 << 20)))), /at most 256 MiB/],
    [capture([]), /does not hold the negotiation/],
    [capture(hello.slice(0, 1)), /does not hold the negotiation/],
    [capture(hello), /did not go beyond its negotiation/],
    [capture([{ ...hello[0]!, bytes: Buffer.alloc(5000, 9) }]), /does not begin as an RDP connection/],
    [
      capture([...hello, { fromServer: false, beforeTls: false, timeMs: 9, bytes: Buffer.alloc(100, 0xee) }]),
      /nothing of the connection can be read/,
    ],
  ];
  for (const [bytes, pattern] of cases) await assert.rejects(hand(bytes), refusal(pattern));
  assert.deepEqual([sessions.length, reports.length], [0, 0]);
  assert.deepEqual((await recorder.port.live()).sessions, []);
  // The desk is free again.
  await hand(capture(small()));
});

test('times that are missing or have not come yet are not taken from the file', async (t) => {
  const { hand, sessions, chunks, reported } = await desk(t);
  const before = Date.now() * 1000;
  await hand(
    capture(small(), {
      from: '2999-01-01T00:00:00Z',
      client: 'a\u0007b',
      server: '[2001:db8::7]:3390',
      problem: 'a hole',
    }),
  );
  await reported('drained');
  const [session] = sessions;
  assert.deepEqual([session!.imported!.captured_from, session!.imported!.client], [null, 'a b']);
  assert.deepEqual(session!.rdp_config.host, '2001:db8::7');
  assert.equal(session!.rdp_config.port, 3390);
  assert.ok(chunks.at(-1)!.closedUs <= Date.now() * 1000 && chunks.at(-1)!.closedUs >= before - 1);
});

test('a connection that can not be read to its end is kept up to there, with a gap that says why', async (t) => {
  const { hand, sessions, reports, reported, notes } = await desk(t);
  const records = small();
  // A server that sends the client on in the middle of a PDU can't be followed.
  const broken = records.map((record, at) =>
    at === records.length - 20 ? { ...record, bytes: Buffer.from('0300ffff02f0e1', 'hex') } : record,
  );
  await hand(capture(broken, { problem: '17 bytes were not captured; it is read up to there' }));
  const ended = await reported('ended');
  assert.match(ended.message, /as far as it can be read/);
  assert.ok(sessions[0]!.imported!.problem !== null);
  const gap = reports.find((report) => report.kind === 'fact');
  assert.ok(gap?.kind === 'fact' && gap.fact.kind === 'gap' && gap.fact.toUs === null);
  assert.equal(notes().at(-1)?.type, 'ended');
});

test('one at a time; a stop and a shutdown end it with what was read', async (t) => {
  const gate = Promise.withResolvers<void>();
  const seal = async (_: ChunkToSeal) => {
    await gate.promise;
    return receipt;
  };
  const { hand, recorder, reported } = await desk(t, { config: { chunkAgeMs: 200 }, deps: { processor: { seal } } });
  await hand(zipped('gnome-type-gfx-default'));
  await assert.rejects(hand(zipped('xorg-default')), refusal(/another capture is being imported/));
  assert.equal((await recorder.port.live()).sessions[0]?.sessionId, 'imported-1');
  await assert.rejects(recorder.port.pause({ sessionId: 'imported-1' }), refusal(/no connection/));
  const stopping = recorder.port.stop({ sessionId: 'imported-1', reason: 'stopped', message: 'stopped by bob' });
  gate.resolve();
  assert.deepEqual(await stopping, { stopped: true });
  const ended = await reported('ended');
  assert.deepEqual([ended.reason, ended.message, ended.failed], ['stopped', 'stopped by bob', true]);
  assert.deepEqual((await recorder.port.live()).sessions, []);
});

test('storage that refuses a chunk for good ends the import as failed', async (t) => {
  let sealed = 0;
  const seal = async () => {
    sealed += 1;
    if (sealed > 2) throw new LucidError('compression', 'the codec is not there');
    return receipt;
  };
  const { hand, reported } = await desk(t, { config: { chunkAgeMs: 200 }, deps: { processor: { seal } } });
  await hand(zipped('gnome-type-gfx-default'));
  const ended = await reported('ended');
  assert.deepEqual([ended.reason, ended.failed], ['import_failed', true]);
  assert.match(ended.message, /the codec is not there/);
  assert.equal((await reported('drained')).chunksCount, 2);
});

test('changed at random, a capture is imported or refused in words', async (t) => {
  const { hand, recorder } = await desk(t);
  const whole = gunzipSync(capture(small()));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 30 }),
      async (changes) => {
        const bytes = Uint8Array.from(whole);
        for (const [at, byte] of changes) bytes[at] = byte;
        try {
          await hand(gzipSync(bytes, { level: 1 }));
        } catch (error) {
          assert.ok(error instanceof LucidError && error.code !== 'LUCID_ERR_3022', String(error));
        }
        while ((await recorder.port.live()).sessions.length > 0) await new Promise((resolve) => setTimeout(resolve, 1));
      },
    ),
    { numRuns: 25 },
  );
});
