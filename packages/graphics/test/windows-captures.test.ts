import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createFfmpegH264Decoder } from '@lucid-sessions/node';
import { tpkt, x224ConnectionConfirm } from '@lucid-sessions/rdp';
import { Relay, type RelayPolicy, unreplayable } from '@lucid-sessions/relay';
import { readCapture, skipUnlessPeers } from '@lucid-sessions/testkit';
import { psnr } from '@lucid-sessions/testkit/capture-graphics';
import { gfxMessage, pdu } from '@lucid-sessions/testkit/graphics-encoders';
import { RecordingTap } from '@lucid-sessions/testkit/recording-tap';
import { decode } from '@lucid-sessions/wire';
import { PNG } from 'pngjs';
import { createPalette } from '../src/bitmap/index.ts';
import { GraphicsPipeline, type PixelBuffer, Screen, SessionDecoder } from '../src/index.ts';
import { PointerDecoder } from '../src/pointer/index.ts';

/** Public sessions of Windows and Microsoft's own test data, which are other people's: never in the repository. */
const folder = process.env.WINDOWS_CAPTURES ?? '';
const skip = folder === '' ? 'set WINDOWS_CAPTURES to the folder of recorded Windows sessions' : false;

/** Width, height, frames, and the SHA-256 of the last picture's RGBA, once it was looked at. */
const lastPictures: readonly (readonly [string, number, number, number, string])[] = [
  ['htb-rdp-0', 1024, 756, 240, '610ac1e21c8ec316459a3f8ebb564c1174384518c05e73a3d54aed0556c36c1f'],
  ['rdp-nla-kerberos-auth1-0', 1024, 768, 38, 'd88d5634865a2c310c39a0ea547bab2301742293f85d8dc5fedc83f7f858c7d6'],
  ['rdp-nla-smartcard-auth1-0', 1024, 768, 53, '5cece68170c443737bc06980b52a760fff94e619f5b39681d2533e9aec62e96b'],
  ['rdp-no-nla-accepted1-0', 1024, 768, 89, '7263f4b6d689eda92aa7c8aa5987a44ec7b390280d3185d1cec8450f3fea4700'],
  [
    'rdp-restricted-admin-accepted1-0',
    1024,
    768,
    53,
    'd2cdb07798b599560e35abad5e4f87f4205ee60e72e14d850b9590f801080978',
  ],
  [
    'rdp-restricted-admin-rejected1-0',
    1024,
    768,
    10,
    '266f812e34d5cb03b0b0dee70581d2c50bd1066ffc223c7a2880a152e1a024b1',
  ],
  ['red-dump_TLSw2008', 1024, 768, 71, '082def08beb12567cfeb0762d811dcebceb953d371fc5c9c663a79f0161c0868'],
  ['red-trace_mstsc_client', 1440, 900, 0, '98a1ba5fb83af6e342a8b0774c974c26438ae30b72b81708aead011249db99b0'],
  ['sample1-0', 1024, 768, 65, 'e4087c6012dae4b07d9f2f745a12b43e74bff0d312ab6a71377f9d0b96b78806'],
];
const withoutDesktop = ['rdp-nla-ntlm-rejected1-0', 'rdp-nla-ntlm-rejected1-1', 'rdp-no-nla-rejected1-0'];
/** Another decoder's rounding. */
const picturesMin = 45;

const sha256 = (bytes: NodeJS.ArrayBufferView) => createHash('sha256').update(bytes).digest('hex');

async function replay(name: string, turn?: (decoder: SessionDecoder) => SessionDecoder): Promise<SessionDecoder> {
  let decoder = new SessionDecoder();
  const { records } = readCapture(join(folder, `${name}.rdpcap.gz`));
  for (const [index, { fromServer, bytes }] of records.entries()) {
    await decoder.push({ fromServer, bytes });
    if (turn && index % 13 === 0) decoder = turn(decoder);
  }
  return decoder;
}

function picture(path: string): PixelBuffer {
  const { width, height, data } = PNG.sync.read(readFileSync(path));
  const clamped = new Uint8ClampedArray(new Uint8Array(data).buffer);
  return { width, height, data: clamped, words: new Uint32Array(clamped.buffer) };
}

describe('sessions of Windows end as they were seen to, and nothing of them stays undrawn', { skip }, () => {
  for (const [name, width, height, frames, hash] of lastPictures)
    test(name, async () => {
      const { screen } = await replay(name);
      assert.deepEqual([...screen.unsupported], []);
      const path = join(folder, 'pictures', `${name}.png`);
      if (existsSync(path)) assert.ok(psnr(screen.pixels, picture(path)) > picturesMin);
      assert.deepEqual([screen.width, screen.height, screen.framesCount], [width, height, frames]);
      assert.equal(sha256(screen.pixels.data), hash);
    });

  for (const name of withoutDesktop)
    test(`${name}, which has no desktop`, async () => {
      const { screen } = await replay(name);
      assert.deepEqual([screen.width, screen.height, [...screen.unsupported]], [0, 0, []]);
    });

  for (const name of ['sample1-0', 'rdp-no-nla-accepted1-0'])
    test(`${name}, taken up again and again from its state`, async () => {
      let taken = 0;
      const { screen } = await replay(name, (decoder) => {
        const snapshot = decoder.snapshot('lean');
        if (snapshot === null) return decoder;
        const next = new SessionDecoder();
        next.restore(structuredClone(snapshot));
        taken += 1;
        return next;
      });
      assert.ok(taken > 5, `${taken} states`);
      assert.deepEqual([...screen.unsupported], []);
      assert.equal(sha256(screen.pixels.data), lastPictures.find(([known]) => known === name)![4]);
    });
});

const undrawn = 'nine grids, GDI+, desktop composition or codecs that replay can not draw not announced to the server';
/** What is taken out of these negotiations by default; everything else of the client's passes byte for byte. */
const videos = 'channels for videos refused: the server draws videos into the desktop, or not at all';
const takenOut: Readonly<Record<string, readonly string[]>> = {
  // Servers of Windows 7 and 2008 R2 have nine grids, others say they do, and these clients say so too.
  'htb-rdp-0': [undrawn],
  'red-dump_TLSw2008': [undrawn],
  'sample1-0': ['bitmaps kept on the client’s disk not announced to the server'],
  'red-trace_mstsc_client': ['UDP transport refused', undrawn],
  // Windows Server 2022 opens them for every mstsc.
  'rdp-nla-kerberos-auth1-0': [videos],
  'rdp-nla-smartcard-auth1-0': [videos],
  'rdp-no-nla-accepted1-0': [videos],
  'rdp-restricted-admin-accepted1-0': [videos],
  'rdp-restricted-admin-rejected1-0': [videos],
};

test('of what mstsc and others negotiated, only what replay can not show is changed', { skip }, () => {
  for (const name of [...lastPictures.map(([known]) => known), ...withoutDesktop])
    for (const leaveIn of [[], unreplayable]) {
      const { said, passed, told, answers } = relayed(name, leaveIn);
      const taken = leaveIn.length > 0 ? [] : (takenOut[name] ?? []);
      assert.deepEqual(
        told.filter((what) => !what.startsWith('left in')),
        taken,
        name,
      );
      // A client that was never asked has nothing changed: the gateway answers beside it.
      const isChanged = taken.some((what) => what !== videos);
      assert.equal(passed.equals(said), !isChanged, name);
      assert.equal(answers >= 3, taken.includes(videos), name);
      if (name === 'sample1-0' && taken.length > 0) assert.ok(said.length > passed.length, 'a key list is missing');
      if (name === 'red-trace_mstsc_client') assert.equal(passed.length, said.length);
    }
});

function relayed(name: string, leaveIn: RelayPolicy['leaveIn'] & {}) {
  const tap = new RecordingTap();
  const { records } = readCapture(join(folder, `${name}.rdpcap.gz`));
  const confirm = records.find(({ fromServer, beforeTls }) => fromServer && beforeTls);
  const { negotiation } = decode(x224ConnectionConfirm, decode(tpkt, confirm!.bytes).payload);
  const selectedProtocol = negotiation?.kind === 'response' ? negotiation.selectedProtocol : 0;
  const relay = new Relay({ requestedProtocols: 11, selectedProtocol, graphics: 'passthrough', leaveIn }, tap);
  const [said, passed, told]: [Buffer[], Buffer[], string[]] = [[], [], []];
  let answers = 0;
  for (const [at, { fromServer, beforeTls, bytes }] of records.entries()) {
    if (beforeTls) continue;
    const { forward, toServer, events } = relay.step(fromServer ? 'server' : 'client', Buffer.from(bytes), at);
    for (const event of events) if (event.kind === 'downgrade') told.push(event.what);
    answers += toServer.length;
    if (!fromServer) said.push(Buffer.from(bytes));
    if (!fromServer) passed.push(...forward.map((view) => Buffer.from(view)));
  }
  return { said: Buffer.concat(said), passed: Buffer.concat(passed), told, answers };
}

interface H264Set {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly messages: readonly {
    readonly codec: number;
    readonly rect: readonly [number, number, number, number];
    readonly file: string;
    readonly picture: string | null;
  }[];
}

describe("Microsoft's H.264 test sets give their pictures", { skip }, () => {
  const index = join(folder, 'h264', 'index.json');
  const sets = skip === false && existsSync(index) ? (JSON.parse(readFileSync(index, 'utf8')) as H264Set[]) : [];
  for (const set of sets)
    test(set.name, async (t) => {
      if (skipUnlessPeers(t, 'ffmpeg')) return;
      const { width, height } = set;
      const screen = new Screen();
      const pipeline = new GraphicsPipeline({ screen, createH264Decoder: () => createFfmpegH264Decoder() });
      const surfaceId = 1;
      const pad = new Uint8Array(320);
      await pipeline.process(
        gfxMessage(
          pdu('resetGraphics', { width, height, monitors: [], pad }),
          pdu('createSurface', { surfaceId, width, height, pixelFormat: 0x20 }),
          pdu('mapSurfaceToOutput', { surfaceId, reserved: 0, outputOriginX: 0, outputOriginY: 0 }),
        ),
      );
      const reached: [number, number][] = [];
      for (const { codec: codecId, rect, file, picture: expected } of set.messages) {
        const [left, top, right, bottom] = rect;
        const bitmapData = new Uint8Array(readFileSync(join(folder, 'h264', file)));
        const destRect = { left, top, right, bottom };
        await pipeline.process(
          gfxMessage(pdu('wireToSurface1', { surfaceId, codecId, pixelFormat: 0x20, destRect, bitmapData })),
        );
        // Half the chroma is still to come where a message has the main view alone.
        const onlyMain = codecId === 0x0b || bitmapData[3]! >> 6 === 1;
        if (expected !== null)
          reached.push([psnr(screen.pixels, picture(join(folder, 'h264', expected))), onlyMain ? 33 : 38]);
      }
      assert.ok(reached.length > 0);
      assert.ok(
        reached.every(([decibels, least]) => decibels >= least),
        `${reached.map(([decibels]) => decibels.toFixed(1))} dB`,
      );
      if (set.name.includes('v2')) assert.deepEqual(pipeline.mainChroma, ['own']);
      assert.deepEqual([...screen.unsupported], []);
      pipeline.close();
    });
});

describe('pointers of Windows keep their shadows', { skip }, () => {
  for (const [file, width, height, opaque, shadow] of [
    ['new_pointer_32bpp.bin', 41, 39, 77, 210],
    ['large_pointer_32bpp.bin', 112, 112, 1394, 226],
  ] as const)
    test(file, () => {
      const screen = new Screen();
      const pointers = new PointerDecoder(screen);
      const bytes = new Uint8Array(readFileSync(join(folder, 'pointers', file)));
      if (file.startsWith('large')) pointers.large(bytes, createPalette());
      else pointers.pointer(bytes, createPalette());
      const { pixels } = screen.pointer.shape!;
      const alphas = [...pixels.words].map((word) => word >>> 24);
      assert.deepEqual([pixels.width, pixels.height], [width, height]);
      assert.equal(alphas.filter((alpha) => alpha === 255).length, opaque);
      assert.equal(alphas.filter((alpha) => alpha > 0 && alpha < 255).length, shadow);
    });
});
