/** A picture over what a graphics pipeline draws: the client gets all of the server's, and ours between; the server hears nothing of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type GfxPdu, GraphicsPipeline, gfxPdu, Screen, takeGfxCommand } from '@lucid-sessions/graphics';
import { DynamicReassembler, dynamicChannelServerPdu } from '@lucid-sessions/rdp';
import { graphicsHistoryBytes, uncompressedSegments, ZgfxDecompressor } from '@lucid-sessions/rdp/bulk';
import { bannerPicture } from '@lucid-sessions/screens';
import { tokens, zgfxSegment, zgfxSingle } from '@lucid-sessions/testkit/bulk-encoders';
import { pdu, rect } from '@lucid-sessions/testkit/graphics-encoders';
import { decode, encode, joinBytes, Reader, Writer } from '@lucid-sessions/wire';
import fc from 'fast-check';
import type { RelayPolicy } from '../src/conversation.ts';
import { RelayViolation } from '../src/events.ts';
import type { OverlayPicture } from '../src/pipeline/overlay.ts';
import { openPolicy } from '../src/policy/channel-policy.ts';
import { heard, said, streamsOf } from './support/channel-talk.ts';
import { channels, RunningRelay } from './support/running-relay.ts';

const GRAPHICS = 'Microsoft::Windows::RDS::Graphics';
const seconds = 9_000_000;
const SUSPENDED = 0xffff_ffff;
const id = 7;

const dvc = (from: 'client' | 'server', message: Uint8Array, chunkBytes?: number): Uint8Array =>
  joinBytes(said(from, channels.drdynvc, message, chunkBytes));
const create = (channelId: number, name: string): Uint8Array =>
  dvc('server', new Writer().u8(0x10).u8(channelId).latin1(name).u8(0).bytes());
const created = (channelId: number): Uint8Array => dvc('client', new Writer().u8(0x10).u8(channelId).u32le(0).bytes());

/** A message as dynamic channel PDUs of at most `pieceBytes`. */
function inPieces(message: Uint8Array, pieceBytes: number): Uint8Array[] {
  if (message.length <= pieceBytes) return [joinBytes([Uint8Array.of(0x30, id), message])];
  const first = new Writer().u8(0x28).u8(id).u32le(message.length).slice(message.subarray(0, pieceBytes)).bytes();
  const rest: Uint8Array[] = [];
  for (let at = pieceBytes; at < message.length; at += pieceBytes)
    rest.push(joinBytes([Uint8Array.of(0x30, id), message.subarray(at, at + pieceBytes)]));
  return [first, ...rest];
}

/** A client's end: what it makes of what it gets, and strict about it. */
class Client {
  readonly screen = new Screen();
  readonly pipeline = new GraphicsPipeline({ screen: this.screen });
  readonly commands: GfxPdu[] = [];
  /** Of frames that ended, not acknowledged yet. */
  readonly ended: number[] = [];
  decoded = 0;
  readonly #parts = new DynamicReassembler();
  readonly #history = new ZgfxDecompressor();
  readonly #surfaces = new Set<number>();
  #frame: number | null = null;

  hear(stream: Uint8Array): void {
    for (const { channelId, message } of heard(stream)) if (channelId === channels.drdynvc) this.#pdu(message);
  }

  #pdu(message: Uint8Array): void {
    const data = decode(dynamicChannelServerPdu, message);
    if (!('channelId' in data) || data.channelId !== id || !('data' in data)) return;
    const whole = data.kind === 'dataFirst' ? this.#parts.first(data.length, data.data) : this.#parts.next(data.data);
    if (whole === null) return;
    const bytes = this.#history.decompress(whole);
    assert.equal(this.pipeline.processCommands(bytes), undefined);
    for (const reader = new Reader(bytes); reader.remaining > 0; )
      this.#command(decode(gfxPdu, takeGfxCommand(reader).rest()));
  }

  #command(command: GfxPdu): void {
    this.commands.push(command);
    const body = command.body as Record<string, number>;
    for (const key of ['surfaceId', 'surfaceIdSrc', 'surfaceIdDest'])
      if (body[key] !== undefined && command.kind !== 'createSurface')
        assert.ok(this.#surfaces.has(body[key]), `${command.kind} of a surface there is`);
    if (command.kind === 'createSurface') {
      assert.ok(!this.#surfaces.has(command.body.surfaceId), 'a surface is made once');
      this.#surfaces.add(command.body.surfaceId);
    }
    if (command.kind === 'deleteSurface') this.#surfaces.delete(command.body.surfaceId);
    if (command.kind === 'startFrame') {
      assert.equal(this.#frame, null, 'frames do not nest');
      this.#frame = command.body.frameId;
    }
    if (command.kind === 'endFrame') {
      assert.equal(this.#frame, command.body.frameId);
      this.#frame = null;
      this.decoded += 1;
      this.ended.push(command.body.frameId);
    }
  }
}

/** A running session whose server draws by the pipeline and compresses over one history. */
class Piped {
  readonly running: RunningRelay;
  readonly client = new Client();
  /** What the server sent, drawn by a client without a gateway. */
  readonly expected = new Screen();
  readonly #reference = new GraphicsPipeline({ screen: this.expected });
  readonly sent: GfxPdu[] = [];
  history = new Uint8Array(0);
  /** All that either side got or gave since there is a channel. */
  readonly delivered: Uint8Array[] = [];
  readonly received: Uint8Array[] = [];
  #toClient = 0;

  constructor(policy: Partial<RelayPolicy> = {}) {
    this.running = new RunningRelay({ paintsPipeline: true, ...policy }).activated();
    this.running.send('server', create(id, GRAPHICS));
    this.running.send('client', created(id));
    this.running.frames();
  }

  say(
    commands: readonly GfxPdu[],
    { isCompressed = true, pieceBytes = 1500, cutBytes = 4000, chunkBytes = 1600 } = {},
  ): Buffer {
    const bytes = joinBytes(commands.map((command) => encode(gfxPdu, command)));
    this.#reference.processCommands(bytes);
    this.sent.push(...commands);
    const message = isCompressed
      ? zgfxSingle(zgfxSegment(tokens(bytes, this.history.subarray(-3000), 3, 200)))
      : uncompressedSegments(bytes);
    this.history = joinBytes([this.history, bytes]).subarray(-graphicsHistoryBytes);
    return this.sayPdus(inPieces(message, pieceBytes), cutBytes, chunkBytes);
  }

  sayPdus(pdus: readonly Uint8Array[], cutBytes = 4000, chunkBytes = 1600): Buffer {
    const stream = joinBytes(pdus.map((each) => dvc('server', each, chunkBytes)));
    this.received.push(stream);
    const passed = this.running.send('server', stream, cutBytes);
    this.#hearAll(passed);
    return passed;
  }

  overlay(picture: OverlayPicture | null): void {
    this.#hearAll(joinBytes(this.running.relay.overlay(picture, seconds)));
  }

  #hearAll(stream: Uint8Array): void {
    this.delivered.push(stream);
    this.client.hear(stream);
    assert.equal(this.running.toClient.length, this.#toClient, 'the client says nothing that is answered');
  }

  /** The client acknowledges the next `count` frames; what the server hears of it. */
  acknowledge(count: number, queueDepth = 0): GfxPdu[] {
    const heardNow: GfxPdu[] = [];
    for (let left = Math.min(count, this.client.ended.length); left > 0; left -= 1) {
      const frameId = this.client.ended.shift()!;
      const totalFramesDecoded = this.client.decoded - this.client.ended.length;
      const message = encode(gfxPdu, pdu('frameAcknowledge', { queueDepth, frameId, totalFramesDecoded }));
      const qoe = encode(gfxPdu, pdu('qoeFrameAcknowledge', { frameId, timestamp: 1, timeDiffSE: 1, timeDiffEDR: 1 }));
      const passed = this.running.send('client', dvc('client', joinBytes([Uint8Array.of(0x30, id), message, qoe])));
      for (const { message: data } of heard(passed))
        for (const reader = new Reader(data, 2); reader.remaining > 0; )
          heardNow.push(decode(gfxPdu, takeGfxCommand(reader).rest()));
    }
    return heardNow;
  }

  /** Pixels of the desktop that differ from those without us. */
  get differing(): number {
    const [a, b] = [this.client.screen.desktop.words, this.expected.desktop.words];
    assert.equal(a.length, b.length);
    return a.reduce((count, word, at) => count + (word === b[at] ? 0 : 1), 0);
  }
}

const colour = (value: number) => ({ b: value & 255, g: (value >> 8) & 255, r: (value >> 16) & 255, xa: 255 });
const frame = (frameId: number, ...commands: GfxPdu[]): GfxPdu[] => [
  pdu('startFrame', { timestamp: 0, frameId }),
  ...commands,
  pdu('endFrame', { frameId }),
];
const fill = (surfaceId: number, value: number, area = rect(0, 0, 400, 300)): GfxPdu =>
  pdu('solidFill', { surfaceId, fillPixel: colour(value), fillRects: [area] });

/** A new desktop on a surface of that id. */
const desktop = (surfaceId: number, width = 400, height = 300): GfxPdu[] => [
  pdu('resetGraphics', { width, height, monitors: [], pad: new Uint8Array(320) }),
  pdu('createSurface', { surfaceId, width, height, pixelFormat: 0x20 }),
  pdu('mapSurfaceToOutput', { surfaceId, reserved: 0, outputOriginX: 0, outputOriginY: 0 }),
  fill(surfaceId, 0x203040, rect(0, 0, width, height)),
];
const banner = (text: string, width = 400, height = 300): OverlayPicture =>
  bannerPicture({ width, height }, 'alice:', text);

test('a message is shown over the desktop, again behind each of the server’s frames, and gone afterwards', () => {
  const piped = new Piped();
  assert.equal(piped.running.relay.pipelineCanvas, null);
  piped.say(desktop(0));
  assert.deepEqual(piped.running.relay.pipelineCanvas, { left: 0, top: 0, width: 400, height: 300 });
  assert.equal(piped.running.relay.canvas, null, 'bitmaps are not what is drawn');
  const picture = banner('We stop at six.');
  piped.overlay(picture);
  const covered = picture.width * picture.height;
  assert.equal(piped.differing, covered);
  piped.say(frame(1, fill(0, 0x654321)));
  assert.equal(piped.differing, covered);
  piped.overlay(banner('A longer one. '.repeat(20)));
  assert.ok(piped.differing > covered);
  piped.overlay(picture);
  assert.equal(piped.differing, covered);
  piped.overlay(null);
  assert.equal(piped.differing, 0);
  piped.say(frame(2, fill(0, 0x111111)));
  assert.equal(piped.differing, 0);
});

test('nothing is read, and nothing can be shown, where it is not wanted', () => {
  for (const policy of [{ paintsPipeline: false }, { leaveIn: ['graphics'] }, { graphics: 'classic' }] as const) {
    const piped = new Piped({ ...policy, leaveIn: 'leaveIn' in policy ? [...policy.leaveIn] : [] });
    const message = piped.say(desktop(0));
    piped.overlay(banner('hello'));
    assert.equal(piped.differing, 0);
    assert.ok(message.length > 0);
  }
});

test('inside a frame, a message or a PDU of the server’s nothing of ours is said', () => {
  const piped = new Piped();
  piped.say(desktop(0));
  piped.say([pdu('startFrame', { timestamp: 0, frameId: 1 }), fill(0, 1)]);
  piped.overlay(banner('hello'));
  assert.equal(piped.client.commands.filter(({ kind }) => kind === 'createSurface').length, 1);
  piped.say([pdu('endFrame', { frameId: 1 })]);
  assert.equal(piped.client.commands.filter(({ kind }) => kind === 'createSurface').length, 2);
  piped.overlay(null);
  const bytes = joinBytes(frame(2, fill(0, 2)).map((command) => encode(gfxPdu, command)));
  const [first, ...rest] = inPieces(uncompressedSegments(bytes), 20);
  piped.sayPdus([first!]);
  piped.overlay(banner('once more'));
  assert.equal(piped.client.commands.filter(({ kind }) => kind === 'createSurface').length, 2);
  piped.sayPdus(rest);
  assert.equal(piped.client.commands.filter(({ kind }) => kind === 'createSurface').length, 3);
  const half = joinBytes(said('server', channels.rdpsnd, new Uint8Array(200)));
  assert.equal(piped.running.send('server', half.subarray(0, 60)).length, 60);
  assert.deepEqual(piped.running.relay.overlay(banner('a third'), seconds), []);
  const passed = piped.running.send('server', half.subarray(60));
  assert.deepEqual(passed.subarray(0, half.length - 60), Buffer.from(half.subarray(60)));
  assert.ok(passed.length > half.length, 'it stands behind it');
});

test('when the client’s history is all the server’s again, what it says passes as it comes', () => {
  const piped = new Piped();
  piped.say(desktop(0));
  piped.overlay(banner('hello'));
  piped.overlay(null);
  let frameId = 1;
  const bitmap = (): GfxPdu =>
    pdu('wireToSurface1', {
      ...{ surfaceId: 0, codecId: 0, pixelFormat: 0x20, destRect: rect(0, 0, 200, 80) },
      bitmapData: new Uint8Array(64_000).fill(frameId),
    });
  for (let bytes = 0; bytes <= graphicsHistoryBytes; bytes += 64_000) {
    frameId += 1;
    piped.say(frame(frameId, bitmap()), { isCompressed: false });
  }
  piped.running.frames();
  frameId += 1;
  // A command whose 40 bytes stand as far back as the history goes.
  const head = new Writer().u16le(0x7777).u16le(0).u32le(48).bytes();
  const far = zgfxSingle(zgfxSegment([...head, { distance: graphicsHistoryBytes, length: 40 }]));
  const pdus = inPieces(far, 1500);
  const passed = piped.sayPdus(pdus);
  assert.deepEqual(passed, Buffer.from(joinBytes(pdus.map((each) => dvc('server', each)))));
  assert.deepEqual(new Set(piped.running.frames().map(({ flags }) => flags)), new Set([1]));
  assert.deepEqual(piped.client.commands.at(-1)?.body, piped.history.slice(8, 48));
});

test('what the server draws and can not be read any more ends a session that shows something, and no other', () => {
  const broken = inPieces(Uint8Array.of(0xe0, 0x24, 0xff, 0xff, 9), 1500);
  const quiet = new Piped();
  quiet.say(desktop(0));
  assert.ok(quiet.running.send('server', joinBytes(broken.map((each) => dvc('server', each)))).length > 0);
  assert.equal(quiet.running.relay.pipelineCanvas, null);
  const shown = new Piped();
  shown.say(desktop(0));
  shown.overlay(banner('hello'));
  assert.throws(() => shown.sayPdus(broken), RelayViolation);
});

test('a server that draws on our surface, on desktops that are none or too much by a few bytes gets nothing for it', () => {
  const piped = new Piped();
  piped.say(desktop(0));
  piped.overlay(banner('hello'));
  piped.say([pdu('createSurface', { surfaceId: 5, width: 64, height: 64, pixelFormat: 0x20 })]);
  const ours = piped.client.commands.find((each) => each.kind === 'createSurface' && each.body.surfaceId > 100);
  assert.ok(ours?.kind === 'createSurface');
  const { surfaceId } = ours.body;
  const painted = encode(gfxPdu, fill(surfaceId, 0xff0000, rect(0, 0, 10, 10)));
  const before = piped.client.commands.length;
  assert.throws(() => piped.sayPdus(inPieces(uncompressedSegments(painted), 1500)), /of a surface there is/);
  assert.deepEqual(piped.client.commands[before]?.body, { surfaceId }, 'it is deleted before');
  for (const [width, height] of [
    [0xffff_ffff, 0xffff_ffff],
    [8193, 600],
    [10, 10],
  ] as const) {
    const odd = new Piped();
    odd.say(desktop(0));
    const reset = pdu('resetGraphics', { width, height, monitors: [], pad: new Uint8Array(320) });
    odd.running.send(
      'server',
      joinBytes(inPieces(uncompressedSegments(encode(gfxPdu, reset)), 1500).map((each) => dvc('server', each))),
    );
    assert.equal(odd.running.relay.pipelineCanvas, null);
  }
  const bomb = new Piped();
  bomb.say(desktop(0));
  const segment = zgfxSegment([0x77, 0x77, 0, 0, 0xf0, 0xfd, 0, 0, { distance: 8, length: 65_000 }]);
  const count = 500;
  const announced = new Writer()
    .u8(0xe1)
    .u16le(count)
    .u32le(count * 65_008);
  for (let at = 0; at < count; at += 1) announced.u32le(segment.length).slice(segment);
  const pdus = joinBytes(inPieces(announced.bytes(), 1500).map((each) => dvc('server', each)));
  bomb.running.send('server', pdus);
  assert.notEqual(bomb.running.relay.pipelineCanvas, null);
  for (let times = 0; times < 2; times += 1) assert.equal(bomb.running.send('server', pdus).length, pdus.length);
  assert.equal(bomb.running.relay.pipelineCanvas, null);
});

test('a server that takes our surface away again and again has few pictures sent for its few bytes', () => {
  const piped = new Piped();
  piped.say(desktop(0));
  // One megabyte that a client draws in no time, so that few are enough.
  const data = new Uint8Array(1 << 20);
  piped.running.relay.overlay(
    { width: 64, height: 64, tiles: [{ left: 0, top: 0, width: 64, height: 64, data }] },
    seconds,
  );
  const taken = uncompressedSegments(encode(gfxPdu, pdu('deleteSurface', { surfaceId: 0xfffe })));
  const stream = joinBytes(inPieces(taken, 1500).map((each) => dvc('server', each)));
  let bytes = 0;
  assert.throws(() => {
    for (let times = 0; times < 100; times += 1) bytes += piped.running.send('server', stream).length;
  }, RelayViolation);
  assert.ok(bytes < 80 << 20, `${bytes} bytes for ${stream.length} each time`);
});

test('a client that suspends acknowledgement on a frame of ours says so to the server', () => {
  const piped = new Piped();
  piped.say(desktop(0));
  piped.say(frame(41, fill(0, 5)));
  piped.overlay(banner('hello'));
  assert.equal(piped.client.ended.length, 2);
  assert.deepEqual(
    piped.acknowledge(1).map((each) => each.kind),
    ['frameAcknowledge', 'qoeFrameAcknowledge'],
  );
  const [suspended, ...more] = piped.acknowledge(1, SUSPENDED);
  assert.deepEqual(more, []);
  assert.deepEqual(suspended?.body, { queueDepth: SUSPENDED, frameId: 41, totalFramesDecoded: 1 });
});

const surfaceIds = fc.constantFrom(0, 1, 0xfffe, 0xfffd);
const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('draw' as const), value: fc.nat(0xffffff), y: fc.nat(250) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('show' as const), text: fc.string({ maxLength: 120 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('hide' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('desktop' as const), width: fc.integer({ min: 200, max: 500 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('extra' as const), surfaceId: surfaceIds }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('acknowledge' as const), count: fc.nat(6) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('other' as const) }) },
);
const form = fc.record({
  isCompressed: fc.boolean(),
  pieceBytes: fc.integer({ min: 40, max: 1500 }),
  cutBytes: fc.integer({ min: 7, max: 4000 }),
  chunkBytes: fc.integer({ min: 60, max: 1600 }),
});

test('whatever a server draws meanwhile: its client gets all of it, in order, the server hears of its own frames alone, and the picture is whole again', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ action, form, splits: fc.boolean() }), { minLength: 1, maxLength: 25 }),
      fc.boolean(),
      fc.nat(0xffff_ffff),
      (steps, isUnderPolicy, firstFrame) => {
        const piped = new Piped(isUnderPolicy ? { channels: { ...openPolicy, clipboard: 'off' } } : {});
        let frameId = firstFrame;
        let [main, width] = [0, 400];
        const surfaces = new Set([0]);
        const acknowledged: number[] = [];
        const say = (commands: readonly GfxPdu[], how: (typeof steps)[number]): void => {
          if (!how.splits) piped.say(commands, how.form);
          else for (const command of commands) piped.say([command], how.form);
        };
        const nextFrame = (): number => {
          frameId = (frameId + 1) >>> 0;
          return frameId;
        };
        piped.say(desktop(0));
        for (const how of steps) {
          const { action: now } = how;
          switch (now.kind) {
            case 'draw': {
              const other = [...surfaces].at(-1)!;
              const part = rect(0, 0, 150, 60);
              const copies: GfxPdu[] =
                other === main
                  ? []
                  : [
                      pdu('surfaceToSurface', {
                        ...{ surfaceIdSrc: main, surfaceIdDest: other, rectSrc: part, destPts: [{ x: 0, y: 0 }] },
                      }),
                      pdu('surfaceToSurface', {
                        ...{
                          surfaceIdSrc: other,
                          surfaceIdDest: main,
                          rectSrc: part,
                          destPts: [{ x: 20, y: now.y % 200 }],
                        },
                      }),
                    ];
              say(frame(nextFrame(), fill(main, now.value, rect(10, now.y, 180, now.y + 40)), ...copies), how);
              break;
            }
            case 'show':
              piped.overlay(banner(now.text, width));
              break;
            case 'hide':
              piped.overlay(null);
              break;
            case 'desktop': {
              const old = main;
              main = surfaces.has(0) ? 2 : 0;
              while (surfaces.has(main)) main += 1;
              width = now.width;
              surfaces.delete(old);
              surfaces.add(main);
              say([pdu('deleteSurface', { surfaceId: old }), ...desktop(main, width)], how);
              break;
            }
            case 'extra': {
              const { surfaceId } = now;
              if (surfaceId === main) break;
              if (surfaces.delete(surfaceId)) say([pdu('deleteSurface', { surfaceId })], how);
              else {
                surfaces.add(surfaceId);
                say([pdu('createSurface', { surfaceId, width: 200, height: 100, pixelFormat: 0x20 })], how);
              }
              break;
            }
            case 'acknowledge':
              for (const { kind, body } of piped.acknowledge(now.count)) {
                if (kind !== 'frameAcknowledge') continue;
                acknowledged.push(body.frameId);
                assert.equal(body.totalFramesDecoded, acknowledged.length);
              }
              break;
            case 'other':
              piped.sayPdus([Uint8Array.of(0x30, 9, 1, 2, 3)]);
          }
        }
        const frames = piped.sent.flatMap((each) => (each.kind === 'endFrame' ? [each.body.frameId] : []));
        assert.deepEqual(acknowledged, frames.slice(0, acknowledged.length));
        piped.overlay(null);
        assert.equal(piped.differing, 0);
        const left = [...piped.sent];
        for (const command of piped.client.commands)
          if (left.length > 0 && Buffer.from(encode(gfxPdu, left[0]!)).equals(encode(gfxPdu, command))) left.shift();
        assert.deepEqual(left, [], 'all of the server’s is there, in order');
        const { sent, got } = streamsOf(piped.running.frames(), 1);
        assert.deepEqual(sent, Buffer.concat(piped.received), 'recorded as the server said it');
        assert.deepEqual(got, Buffer.concat(piped.delivered), 'and as the client got it');
      },
    ),
    { numRuns: 150 },
  );
});
