/** Whether what was recorded can be seen, through the whole product: examined, signed, shown, exported, and made again offline. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import {
  bundleNames,
  encodeJson,
  exitCodes,
  parseCanonicalJson,
  type ReplayBody,
  readRecordOf,
  sha256,
  signRecord,
  toHex,
} from '@lucid-sessions/evidence';
import { avc420BitmapStream } from '@lucid-sessions/graphics';
import { KeyDirectory } from '@lucid-sessions/keys';
import { eventually, temporaryDirectory } from '@lucid-sessions/testkit';
import {
  gfxMessage,
  pdu,
  progressiveMessage,
  rect,
  region,
  testPicture,
  tileBands,
  tileSimple,
} from '@lucid-sessions/testkit/graphics-encoders';
import { encode } from '@lucid-sessions/wire';
import { Output } from '../src/cli/output.ts';
import { exportSession } from '../src/commands/export.ts';
import { verifyOnServer, verifyPath } from '../src/commands/verify.ts';
import { armSession, type Gateway, sessionIn, startGateway, verifySession } from './support/gateway.ts';

interface Replay {
  state: string;
  detail: string;
  examined_at: string | null;
  walking: boolean;
  walked_chunks: number;
  chunks: number;
}

const graphicsChannel = 'Microsoft::Windows::RDS::Graphics';
const surface = [
  pdu('resetGraphics', { width: 256, height: 128, monitors: [], pad: new Uint8Array(320) }),
  pdu('createSurface', { surfaceId: 1, width: 256, height: 128, pixelFormat: 0x20 }),
  pdu('mapSurfaceToOutput', { surfaceId: 1, reserved: 0, outputOriginX: 0, outputOriginY: 0 }),
] as const;
const picture = (codecId: number, bitmapData: Uint8Array) =>
  pdu('wireToSurface1', { surfaceId: 1, codecId, pixelFormat: 0x20, destRect: rect(0, 0, 128, 128), bitmapData });

/** A difference to a tile that never came. */
function difference() {
  const quants = [6, 6, 6, 6, 6, 6, 6, 6, 6, 6];
  const tile = tileSimple(3, 1, tileBands(testPicture(64, 64), 0, 0, quants, true), true);
  const rectangles = [{ left: 192, top: 64, width: 64, height: 64 }];
  const bitmapData = progressiveMessage([region({ rectangles, quants, reduceExtrapolate: true, tiles: [tile] })]);
  return pdu('wireToSurface2', { surfaceId: 1, codecId: 9, codecContextId: 1, pixelFormat: 0x20, bitmapData });
}

/** Records a session in clear, in which the host sends these messages of the graphics pipeline, if any. */
async function recorded(t: TestContext, gateway: Gateway, messages: readonly Uint8Array[]): Promise<string> {
  const more = messages.length === 0 ? {} : { dynamicChannels: [graphicsChannel], dynamicMessages: messages };
  const desktop = await startDesktop(more);
  t.after(() => desktop.stop());
  const { id, routingToken } = await armSession(gateway, desktop.port, {
    storage_config: { encryption_enabled: false },
  });
  const channels = [{ name: 'drdynvc', options: 0x8000_0000 }];
  const client = await connectClient({ port: gateway.rdpPort, routingToken, userName: 'ada', channels });
  await client.type('seen\n', 5);
  await client.settled();
  await client.close();
  await sessionIn(gateway, id, 'completed');
  return id;
}

async function examined({ api }: Gateway, id: string): Promise<Replay> {
  await api.json('POST', `/sessions/${id}/replay`, {});
  return eventually(
    'the replay record',
    async () => {
      const replay = await api.json<Replay>('GET', `/sessions/${id}/replay`);
      return replay.examined_at !== null && !replay.walking && replay;
    },
    180_000,
  );
}

interface Listed {
  sessions: { session_id: string; replay: { state: string } | null }[];
}

const quiet = () => {
  const told: unknown[] = [];
  const output = new Output(
    { stdout: { write: (text: string) => told.push(text) }, stderr: { write: () => true } } as never,
    true,
  );
  return { told, output };
};

test('a clean session is drawn; its record is exported, made again offline, and a forged one is found', async (t) => {
  const gateway = await startGateway(t);
  const { api } = gateway;
  const id = await recorded(t, gateway, []);
  const before = await api.json<Replay>('GET', `/sessions/${id}/replay`);
  assert.deepEqual([before.state, before.examined_at], ['unexamined', null]);
  const unexamined = await verifySession(gateway, id);
  assert.deepEqual([unexamined.clean, unexamined.verdicts.replay], [true, 'unexamined']);

  const replay = await examined(gateway, id);
  assert.deepEqual([replay.state, replay.walked_chunks], ['drawn', replay.chunks]);
  const report = await verifySession(gateway, id);
  assert.deepEqual([report.clean, report.findings, report.verdicts.replay], [true, [], 'drawn']);
  assert.ok(report.facts.replay!.pictures > 0);
  const { sessions } = await api.json<Listed>('GET', '/sessions?limit=100');
  assert.equal(sessions.find(({ session_id }) => session_id === id)?.replay?.state, 'drawn');
  // Asked again it says the same, and signs nothing more.
  assert.equal(await verifyOnServer(api, id, quiet().output, true), 0);
  const { records } = await api.json<{ records: { kind: string }[] }>('GET', `/sessions/${id}/manifest`);
  assert.equal(records.filter(({ kind }) => kind === 'replay').length, 1);

  const out = join(temporaryDirectory('replay'), 'bundle');
  const { bundle, policy } = await exportSession(api, quiet().output, id, { out });
  assert.equal(await verifyPath(bundle, { policy, replay: true }, quiet().output), 0);

  const file = join(bundle, bundleNames.replay);
  const { body } = readRecordOf('replay', readFileSync(file));
  const identity = await (await KeyDirectory.open(gateway.lucid.directory.keys)).identity();
  const putRecord = async (change: Partial<ReplayBody>): Promise<void> => {
    writeFileSync(file, await signRecord(identity, { ...body, ...change }));
    const description = join(bundle, bundleNames.bundle);
    const value = parseCanonicalJson(readFileSync(description), 1 << 20) as {
      files: { name: string; sha256: string }[];
    };
    for (const listed of value.files)
      if (listed.name === bundleNames.replay) listed.sha256 = toHex(sha256(readFileSync(file)));
    writeFileSync(description, encodeJson(value));
    const exported = join(bundle, bundleNames.export);
    const { body: said } = readRecordOf('export', readFileSync(exported));
    const bundle_sha256 = toHex(sha256(readFileSync(description)));
    writeFileSync(exported, await signRecord(identity, { ...said, bundle_sha256 }));
  };
  await putRecord({ pictures: body.pictures + 1 });
  assert.equal(await verifyPath(bundle, { policy }, quiet().output), 0, 'by itself it can not be told');
  assert.equal(await verifyPath(bundle, { policy, replay: true }, quiet().output), exitCodes.REPLAY_DIFFERS);
  await putRecord({ manifest_sha256: '00'.repeat(32) });
  assert.equal(await verifyPath(bundle, { policy }, quiet().output), exitCodes.SPLICED);
  rmSync(join(bundle, bundleNames.chunk(0)));
  await putRecord({});
  const { told, output } = quiet();
  assert.equal(await verifyPath(bundle, { policy, replay: true }, output), exitCodes.CHUNK_MISSING);
  const lost = JSON.parse(told.join('')) as typeof report;
  assert.equal(lost.verdicts.replay, 'nothing');
  assert.equal(lost.facts.replay?.ended?.reason, 'chunk');
});

test('an unknown codec and a difference without its tile: what, when and how much, wherever the session is shown', async (t) => {
  const gateway = await startGateway(t);
  const message = gfxMessage(...surface, picture(0x77, Uint8Array.of(1)), difference());
  const id = await recorded(t, gateway, [message]);
  const { state, detail } = await examined(gateway, id);
  assert.equal(state, 'parts');
  assert.match(detail, /gfx\.codec\.119 × 1 at 0:0\d\.\d, on up to 50 % of the screen/);
  assert.match(detail, /gfx\.progressive\.missingBase × 1 at 0:0\d\.\d, on up to 12\.5 % of the screen/);
  const report = await verifySession(gateway, id);
  assert.deepEqual([report.clean, report.exit_code], [false, exitCodes.NOT_DRAWN]);
  assert.deepEqual([report.verdicts.integrity, report.verdicts.readability], ['intact', 'readable']);
  assert.equal(report.facts.replay?.share_permille, 625);
});

test('H.264 without a decoder leaves a recording unexamined, and says why', async (t) => {
  const { PATH } = process.env;
  const value = {
    regionRects: [rect(0, 0, 64, 64)],
    quantQualityVals: [{ qpVal: 20, qualityVal: 100 }],
    avc420EncodedBitstream: Uint8Array.of(0, 0, 0, 1, 9, 16),
  };
  // Before the thread that walks begins: it takes its environment with it.
  process.env.PATH = '/nowhere';
  t.after(() => {
    process.env.PATH = PATH;
  });
  const gateway = await startGateway(t);
  const id = await recorded(t, gateway, [gfxMessage(...surface, picture(0x0b, encode(avc420BitmapStream, value)))]);
  const { state, detail } = await examined(gateway, id);
  assert.equal(state, 'unexamined');
  assert.match(detail, /^from 0:0\d\.\d on it was not examined: there was no decoder for H\.264/);
  const report = await verifySession(gateway, id);
  assert.deepEqual([report.clean, report.verdicts.replay], [true, 'unexamined']);
  assert.equal(report.facts.replay?.ended?.reason, 'h264');
});
