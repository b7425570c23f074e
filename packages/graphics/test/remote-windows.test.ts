import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FastPathUpdateCode, fastPathOutput } from '@lucid-sessions/rdp';
import { DynamicChannels, readCapture, type SentPdu } from '@lucid-sessions/testkit';
import { gfxMessage, pdu, rect } from '@lucid-sessions/testkit/graphics-encoders';
import { DecodeError, decode, encode, Writer } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  compactState,
  DesktopOrderFlag,
  expandedState,
  type GfxPdu,
  type PixelBuffer,
  pictureOf,
  rgba,
  SessionDecoder,
  type WindowFields,
  type WindowOrder,
  WindowOrderFlag,
  windowOrder,
  windowOrderOf,
  windowsBackground,
} from '../src/index.ts';

const width = 48;
const height = 32;
const red = rgba(255, 0, 0);
const blue = rgba(0, 0, 255);
const black = rgba(0, 0, 0);
const capture = fileURLToPath(new URL('../../../testkit/captures/xorg-clip-drive.rdpcap.gz', import.meta.url));
const connection = readCapture(capture).records.slice(0, 60);
/** drdynvc of that capture. */
const channels = new DynamicChannels(1007);

/** One fast-path update of so many orders. */
function update(...orders: readonly Uint8Array[]): SentPdu {
  const data = new Writer().u16le(orders.length);
  for (const order of orders) data.slice(order);
  const one = { updateCode: FastPathUpdateCode.orders, fragmentation: 0, compression: 0, data: data.bytes() };
  return { fromServer: true, bytes: encode(fastPathOutput, { flags: 0, reserved: 0, updates: [one] }) };
}

/** The order with its header, [MS-RDPERP] 2.2.1.3.1.1. */
function bytesOf(order: WindowOrder): Uint8Array {
  const body = encode(windowOrder, order);
  return new Writer()
    .u8(0x2e)
    .u16le(body.length + 3)
    .slice(body)
    .bytes();
}

const windows = (...orders: readonly WindowOrder[]): SentPdu => update(...orders.map(bytesOf));
const gfx = (...pdus: readonly GfxPdu[]): SentPdu[] => channels.send(true, 5, gfxMessage(...pdus));
/** OpaqueRect with every field. */
const fillDesktop = (left: number, top: number, w: number, h: number, byte: number): SentPdu =>
  update(new Writer().u8(9).u8(0x0a).u8(0x7f).u16le(left).u16le(top).u16le(w).u16le(h).u8(byte).u8(9).u8(7).bytes());

const utf16 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'utf16le'));
const open = (windowId: number, fields: WindowFields = {}): WindowOrder => windowOrderOf(windowId, true, fields);
const tell = (windowId: number, fields: WindowFields): WindowOrder => windowOrderOf(windowId, false, fields);
const place = (left: number, top: number, w: number, h: number): WindowFields => ({
  windowOffset: { x: left, y: top },
  windowSize: { width: w, height: h },
});
const close = (windowId: number): WindowOrder => ({
  kind: 'windowDeleted',
  flags: WindowOrderFlag.window | WindowOrderFlag.deleted,
  windowId,
  trailing: new Uint8Array(0),
});
const desktopOrder = (flags: number, more: { activeWindowId?: number; windowIds?: number[] } = {}): WindowOrder => ({
  kind: 'desktop',
  flags: WindowOrderFlag.desktop | flags,
  ...more,
  trailing: new Uint8Array(0),
});
const order = (...windowIds: number[]): WindowOrder => desktopOrder(DesktopOrderFlag.zOrder, { windowIds });
const synchronise = desktopOrder(DesktopOrderFlag.hooked | DesktopOrderFlag.syncBegan);
const noMore = desktopOrder(DesktopOrderFlag.notMonitored);

const reset = pdu('resetGraphics', { width, height, monitors: [], pad: new Uint8Array(320) });
const start = pdu('startFrame', { timestamp: 0, frameId: 1 });
const end = pdu('endFrame', { frameId: 1 });
const create = (surfaceId: number, w: number, h: number): GfxPdu =>
  pdu('createSurface', { surfaceId, width: w, height: h, pixelFormat: 0x20 });
const remove = (surfaceId: number): GfxPdu => pdu('deleteSurface', { surfaceId });
const toWindow = (surfaceId: number, windowId: number, mappedWidth: number, mappedHeight: number): GfxPdu =>
  pdu('mapSurfaceToWindow', { surfaceId, windowId: BigInt(windowId), mappedWidth, mappedHeight });
const fill = (surfaceId: number, word: number, area: ReturnType<typeof rect>): GfxPdu =>
  pdu('solidFill', {
    surfaceId,
    fillPixel: { r: word & 255, g: (word >> 8) & 255, b: (word >> 16) & 255, xa: 255 },
    fillRects: [area],
  });

const first = new SessionDecoder();
for (const record of connection) first.push(record);
// What the client of that session did not ask for; another test looks at that.
first.screen.windowsAsked = true;
for (const one of [...channels.open(5, 'Microsoft::Windows::RDS::Graphics'), ...gfx(reset)]) first.push(one);
const beginning = first.snapshot()!;

/** A decoder behind a real connection's beginning, with a small desktop. */
function begun(): SessionDecoder {
  const decoder = new SessionDecoder();
  decoder.restore({ ...beginning, screen: { ...beginning.screen, lit: false } });
  decoder.screen.takeDirty();
  return decoder;
}

function push(decoder: SessionDecoder, ...pdus: readonly (SentPdu | SentPdu[])[]): void {
  for (const one of pdus.flat()) assert.equal(decoder.push(one), undefined, 'nothing here needs waiting');
}

const at = ({ screen }: SessionDecoder, x: number, y: number): number => screen.pixels.words[y * screen.width + x]!;
const counted = ({ screen }: SessionDecoder) => Object.fromEntries(screen.unsupported);

describe('windowing orders on the wire', () => {
  const every: WindowFields = {
    ownerWindowId: 1,
    styles: { style: 2, extendedStyle: 3 },
    showState: 5,
    titleInfo: utf16('Übersicht'),
    clientOffset: { x: -4, y: 5 },
    clientAreaSize: { width: 6, height: 7 },
    resizeMarginX: { first: 8, second: 9 },
    resizeMarginY: { first: 10, second: 11 },
    rpContent: 1,
    rootParentHandle: 12,
    windowOffset: { x: -13, y: 14 },
    windowClientDelta: { x: 15, y: 16 },
    windowSize: { width: 17, height: 18 },
    windowRects: [rect(0, 1, 2, 3)],
    visibleOffset: { x: 19, y: -20 },
    visibilityRects: [rect(4, 5, 6, 7), rect(8, 9, 10, 11)],
    overlayDescription: utf16('!'),
    taskbarButton: 1,
    enforceServerZOrder: 0,
    appBarState: 1,
    appBarEdge: 3,
  };
  const samples = [
    open(7, every),
    tell(7, {}),
    close(7),
    order(3, 2, 1),
    desktopOrder(DesktopOrderFlag.activeWindow, { activeWindowId: 9 }),
    desktopOrder(DesktopOrderFlag.hooked | DesktopOrderFlag.syncBegan),
    { kind: 'icon', flags: WindowOrderFlag.window | WindowOrderFlag.icon, trailing: Uint8Array.of(1, 2) },
    { kind: 'icon', flags: WindowOrderFlag.notifyIcon, trailing: Uint8Array.of(3) },
  ] as WindowOrder[];

  test('every field, in the order of the specification', () => {
    // 2.2.1.3.1.2.1: header, window id, owner, style, extended style, show state, title …
    const bytes = Buffer.from(encode(windowOrder, open(0x01020304, { ...every }))).toString('hex');
    assert.ok(bytes.startsWith('dfdfcf190403020101000000020000000300000005'), bytes);
    for (const sample of samples) {
      const encoded = encode(windowOrder, sample);
      assert.deepEqual(encode(windowOrder, decode(windowOrder, encoded)), encoded);
    }
    assert.deepEqual((decode(windowOrder, encode(windowOrder, samples[0]!)) as { fields: WindowFields }).fields, every);
  });

  test('what is cut short or damaged is refused by name', () => {
    const refused = (bytes: Uint8Array): void => {
      try {
        decode(windowOrder, bytes);
      } catch (error) {
        assert.ok(error instanceof DecodeError, String(error));
      }
    };
    const whole = encode(windowOrder, open(7, every));
    for (let length = 0; length < whole.length; length += 1)
      assert.throws(() => decode(windowOrder, whole.subarray(0, length)), DecodeError);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(255), fc.nat(), (noise, byte, place) => {
        refused(noise);
        const damaged = whole.slice();
        damaged[place % damaged.length] = byte;
        refused(damaged);
      }),
    );
  });
});

describe('windows of remote applications', () => {
  test('are seen where they lie, on a neutral ground, the foremost in front', () => {
    const decoder = begun();
    push(decoder, fillDesktop(0, 0, width, height, 100));
    const desktop = at(decoder, 0, 0);
    assert.notEqual(desktop, black);
    push(decoder, windows(open(1, place(2, 3, 10, 8))));
    assert.equal(at(decoder, 0, 0), windowsBackground);
    assert.deepEqual(
      [at(decoder, 1, 3), at(decoder, 2, 3), at(decoder, 11, 10), at(decoder, 12, 10)],
      [windowsBackground, desktop, desktop, windowsBackground],
    );
    // Drawn on the desktop, seen in the window alone.
    push(decoder, fillDesktop(0, 0, 5, 5, 200));
    assert.notEqual(at(decoder, 4, 4), desktop);
    assert.equal(at(decoder, 0, 0), windowsBackground);
    push(decoder, windows(tell(1, { windowOffset: { x: 20, y: 20 } })));
    assert.deepEqual([at(decoder, 4, 4), at(decoder, 20, 20)], [windowsBackground, desktop]);
    // Hidden, minimised, shown, gone.
    for (const [showState, seen] of [
      [0, windowsBackground],
      [5, desktop],
      [2, windowsBackground],
      [3, desktop],
    ] as const) {
      push(decoder, windows(tell(1, { showState })));
      assert.equal(at(decoder, 20, 20), seen);
    }
    push(decoder, windows(close(1), close(1)));
    assert.equal(at(decoder, 20, 20), windowsBackground);
    // The server stops to watch this desktop: the whole of it is seen.
    push(decoder, windows(noMore));
    assert.equal(at(decoder, 20, 20), desktop);
    assert.deepEqual(counted(decoder), {});
  });

  test('show the surface that is mapped to them, once its frame has ended', () => {
    const decoder = begun();
    push(decoder, windows(open(1, place(4, 4, 10, 10)), open(2, place(8, 8, 10, 10))));
    push(decoder, gfx(create(11, 10, 10), toWindow(11, 1, 10, 10), create(12, 10, 10), toWindow(12, 2, 10, 10)));
    push(decoder, gfx(fill(12, blue, rect(0, 0, 10, 10)), start, fill(11, red, rect(0, 0, 10, 10))));
    assert.deepEqual([at(decoder, 4, 4), at(decoder, 9, 9)], [black, blue]);
    push(decoder, gfx(end));
    assert.deepEqual([at(decoder, 4, 4), at(decoder, 9, 9), at(decoder, 17, 17)], [red, blue, blue]);
    push(decoder, windows(order(1, 2)));
    assert.deepEqual([at(decoder, 9, 9), at(decoder, 17, 17), at(decoder, 18, 18)], [red, blue, windowsBackground]);
    // The surface moves with its window, and stays when it is deleted.
    push(decoder, windows(tell(1, { windowOffset: { x: 30, y: 2 } })), gfx(remove(11)));
    assert.deepEqual([at(decoder, 30, 2), at(decoder, 9, 9)], [red, blue]);
    // Another takes its place; a smaller part of it, scaled.
    push(
      decoder,
      gfx(
        create(13, 8, 8),
        fill(13, blue, rect(0, 0, 4, 8)),
        fill(13, red, rect(4, 0, 8, 8)),
        pdu('mapSurfaceToScaledWindow', {
          surfaceId: 13,
          windowId: 1n,
          mappedWidth: 8,
          mappedHeight: 4,
          targetWidth: 10,
          targetHeight: 10,
        }),
      ),
    );
    assert.deepEqual([at(decoder, 30, 11), at(decoder, 34, 2), at(decoder, 35, 2)], [blue, blue, red]);
    // A surface that goes over to the desktop is in no window.
    push(decoder, gfx(pdu('mapSurfaceToOutput', { surfaceId: 12, reserved: 0, outputOriginX: 0, outputOriginY: 0 })));
    push(decoder, windows(noMore));
    assert.deepEqual([at(decoder, 0, 0), at(decoder, 30, 11)], [blue, black]);
    assert.deepEqual(counted(decoder), {});
  });

  test('are counted where the client asked for none: it showed its desktop whatever it was told', () => {
    const decoder = new SessionDecoder();
    for (const record of connection) decoder.push(record);
    assert.equal(decoder.screen.windowsAsked, false);
    push(decoder, windows(open(1, place(4, 4, 10, 10)), close(1)));
    assert.deepEqual(counted(decoder), { 'order.window.notAsked': 2 });
    const resumed = new SessionDecoder();
    resumed.restore(decoder.snapshot()!);
    assert.equal(resumed.screen.windowsAsked, false);
  });

  test('without light in them light nothing', () => {
    const decoder = begun();
    push(decoder, windows(open(1, place(4, 4, 10, 10))), gfx(create(11, 10, 10), toWindow(11, 1, 10, 10)));
    assert.equal(decoder.screen.pixels.words[0], windowsBackground);
    assert.equal(decoder.screen.lit, false);
    push(decoder, gfx(fill(11, red, rect(1, 1, 2, 2))));
    assert.equal(decoder.screen.lit, true);
  });

  test('leave their picture behind when another connection goes on', () => {
    const decoder = begun();
    push(decoder, windows(open(1, place(4, 4, 10, 10))));
    push(decoder, gfx(create(11, 10, 10), toWindow(11, 1, 10, 10), fill(11, red, rect(0, 0, 10, 10))));
    const before = decoder.screen.pixels.words.slice();
    decoder.push({ ...connection[0]!, beforeTls: true });
    assert.deepEqual(decoder.screen.pixels.words, before);
    for (const record of connection.slice(1)) decoder.push(record);
    assert.equal(decoder.screen.windows.active, false);
  });

  test('a channel that closes takes no picture away', () => {
    const decoder = begun();
    push(decoder, windows(open(1, place(4, 4, 10, 10))));
    push(decoder, gfx(create(11, 10, 10), toWindow(11, 1, 10, 10), fill(11, red, rect(0, 0, 10, 10))));
    push(decoder, channels.open(5, 'Microsoft::Windows::RDS::Graphics'));
    assert.equal(at(decoder, 5, 5), red);
    push(decoder, windows(synchronise, open(1, place(4, 4, 10, 10))));
    assert.equal(at(decoder, 5, 5), black);
  });
});

describe('bounds', () => {
  test('more windows, rectangles and pixels than are held are counted or made coarser', () => {
    const decoder = begun();
    for (let id = 1; id <= 1025; id += 1) push(decoder, windows(open(id)));
    assert.deepEqual(counted(decoder), { 'order.window.limit': 1 });
    const many = Array.from({ length: 3000 }, (_, i) => rect(i % 40, i % 30, (i % 40) + 1, (i % 30) + 1));
    const { x, y } = { x: 0, y: 0 };
    push(decoder, windows(tell(1, { ...place(x, y, width, height), visibilityRects: many })));
    assert.deepEqual(decoder.screen.windows.get(1)?.visible, [{ left: 0, top: 0, width: 40, height: 30 }]);
    push(decoder, windows(tell(1, { titleInfo: utf16(`${'x'.repeat(400)}`) })));
    assert.equal(decoder.screen.windows.get(1)?.title.length, 260);
    push(
      decoder,
      gfx(
        create(11, 1, 1),
        pdu('mapSurfaceToScaledWindow', {
          surfaceId: 11,
          windowId: 1n,
          mappedWidth: 1,
          mappedHeight: 1,
          targetWidth: 10_000,
          targetHeight: 10_000,
        }),
        fill(11, red, rect(0, 0, 1, 1)),
      ),
    );
    assert.deepEqual(counted(decoder), { 'order.window.limit': 1, 'gfx.mapSurfaceToScaledWindow.limit': 1 });
  });
});

/** The result of the server's orders, computed independently of the code under test: for every pixel, every window is asked. */
class Model {
  windows = new Map<number, WindowFields & { seenX: number; seenY: number }>();
  zOrder: number[] = [];
  active = false;

  apply(one: WindowOrder): void {
    if (one.kind === 'windowDeleted') this.windows.delete(one.windowId);
    if (one.kind === 'window') {
      const isNew = (one.flags & WindowOrderFlag.isNew) !== 0;
      const known = (isNew ? undefined : this.windows.get(one.windowId)) ?? { seenX: 0, seenY: 0 };
      const next = { ...known, ...one.fields };
      const { x, y } = next.windowOffset ?? { x: 0, y: 0 };
      if (one.fields.visibleOffset)
        Object.assign(next, { seenX: one.fields.visibleOffset.x - x, seenY: one.fields.visibleOffset.y - y });
      this.windows.set(one.windowId, next);
      this.active = true;
    }
    if (one.kind !== 'desktop') return;
    if ((one.flags & (DesktopOrderFlag.notMonitored | DesktopOrderFlag.syncBegan)) !== 0) {
      this.windows.clear();
      this.zOrder = [];
    }
    this.active = (one.flags & DesktopOrderFlag.notMonitored) === 0;
    if (!this.active) return;
    if (one.windowIds) this.zOrder = one.windowIds;
    const activated = this.windows.get(one.activeWindowId ?? -1);
    if (!activated) return;
    this.windows.delete(one.activeWindowId!);
    this.windows.set(one.activeWindowId!, activated);
  }

  picture(desktop: PixelBuffer, contentOf: (id: number) => PixelBuffer | null): number[] {
    if (!this.active) return [...desktop.words];
    const newer = [...this.windows.keys()].filter((id) => !this.zOrder.includes(id)).reverse();
    const ids = [...newer, ...this.zOrder].filter((id) => this.windows.has(id));
    return Array.from(desktop.words, (own, index) => {
      const x = index % desktop.width;
      const y = Math.floor(index / desktop.width);
      for (const id of ids) {
        const window = this.windows.get(id)!;
        const content = contentOf(id);
        const { x: left, y: top } = window.windowOffset ?? { x: 0, y: 0 };
        const size = window.windowSize ?? content ?? { width: 0, height: 0 };
        const [inX, inY] = [x - left, y - top];
        const inside = (list: WindowFields['windowRects'], dx: number, dy: number): boolean =>
          list?.some((r) => inX >= r.left + dx && inX < r.right + dx && inY >= r.top + dy && inY < r.bottom + dy) ??
          true;
        if (window.showState === 0 || window.showState === 2) continue;
        if (inX < 0 || inY < 0 || inX >= size.width || inY >= size.height) continue;
        if (!inside(window.windowRects, 0, 0) || !inside(window.visibilityRects, window.seenX, window.seenY)) continue;
        if (!content) return own;
        if (inX < content.width && inY < content.height) return content.words[inY * content.width + inX]!;
      }
      return windowsBackground;
    });
  }
}

const idArbitrary = fc.integer({ min: 1, max: 5 });
const point = fc.record({ x: fc.integer({ min: -20, max: 50 }), y: fc.integer({ min: -20, max: 40 }) });
const rects = fc.array(fc.record({ left: fc.nat(30), top: fc.nat(30), right: fc.nat(60), bottom: fc.nat(60) }), {
  maxLength: 4,
});
const fieldsArbitrary: fc.Arbitrary<WindowFields> = fc.record(
  {
    showState: fc.constantFrom(0, 2, 3, 5, 5, 5),
    titleInfo: fc.string({ maxLength: 4 }).map(utf16),
    windowOffset: point,
    windowSize: fc.record({ width: fc.nat(50), height: fc.nat(40) }),
    windowRects: rects,
    visibleOffset: point,
    visibilityRects: rects,
  },
  { requiredKeys: [] },
);
const orderArbitrary: fc.Arbitrary<WindowOrder> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(idArbitrary, fc.boolean(), fieldsArbitrary).map((all) => windowOrderOf(...all)) },
  { weight: 2, arbitrary: idArbitrary.map(close) },
  { weight: 3, arbitrary: fc.uniqueArray(idArbitrary).map((ids) => order(...ids)) },
  {
    weight: 2,
    arbitrary: idArbitrary.map((id) => desktopOrder(DesktopOrderFlag.activeWindow, { activeWindowId: id })),
  },
  { weight: 1, arbitrary: fc.constantFrom(synchronise, noMore, desktopOrder(DesktopOrderFlag.hooked)) },
);
const area = fc.tuple(fc.nat(30), fc.nat(20), fc.nat(30), fc.nat(20)).map(([l, t, w, h]) => rect(l, t, l + w, t + h));
const surface = fc.integer({ min: 11, max: 13 });
const gfxArbitrary: fc.Arbitrary<GfxPdu> = fc.oneof(
  { weight: 2, arbitrary: fc.tuple(surface, fc.nat(40), fc.nat(40)).map((all) => create(...all)) },
  {
    weight: 4,
    arbitrary: fc.tuple(surface, idArbitrary, fc.nat(40), fc.nat(40)).map((all) => toWindow(...all)),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(surface, idArbitrary, fc.nat(40), fc.nat(40)).map(([surfaceId, windowId, w, h]) =>
      pdu('mapSurfaceToScaledWindow', {
        surfaceId,
        windowId: BigInt(windowId),
        mappedWidth: w,
        mappedHeight: h,
        targetWidth: h,
        targetHeight: w,
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(surface, fc.nat(40), fc.nat(20))
      .map(([surfaceId, outputOriginX, outputOriginY]) =>
        pdu('mapSurfaceToOutput', { surfaceId, reserved: 0, outputOriginX, outputOriginY }),
      ),
  },
  { weight: 6, arbitrary: fc.tuple(surface, fc.nat(0xffffff), area).map((all) => fill(...all)) },
  { weight: 1, arbitrary: surface.map(remove) },
  { weight: 2, arbitrary: fc.constantFrom(start, end, end) },
  { weight: 1, arbitrary: fc.constant(reset) },
);

type Step = { orders?: WindowOrder[]; pdus: SentPdu[] };
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .array(orderArbitrary, { minLength: 1, maxLength: 3 })
      .map((orders) => ({ orders, pdus: [windows(...orders)] })),
  },
  {
    weight: 4,
    arbitrary: fc.array(gfxArbitrary, { minLength: 1, maxLength: 3 }).map((pdus) => ({ pdus: gfx(...pdus) })),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.nat(40), fc.nat(30), fc.nat(40), fc.nat(30), fc.nat(255))
      .map((all) => ({ pdus: [fillDesktop(...all)] })),
  },
);
/** Windows that overlap, three of which show surfaces. */
const prelude: Step[] = [
  { pdus: [fillDesktop(0, 0, width, height, 60)] },
  ...[11, 12, 13].map((id) => {
    const pdus = gfx(
      create(id, 30, 20),
      fill(id, 0x102030 * (id - 9), rect(0, 0, 30, 20)),
      toWindow(id, id - 10, 30, 20),
    );
    return { pdus };
  }),
  ...[1, 2, 3, 4, 5].map((id) => {
    const orders = [open(id, place(id * 3, id * 2, 30, 20))];
    return { orders, pdus: [windows(...orders)] };
  }),
];
const stepsArbitrary = fc.array(stepArbitrary, { minLength: 1, maxLength: 20 }).map((steps) => [...prelude, ...steps]);

describe('streams of windows, surfaces and drawing', () => {
  test('show what a model shows that asks every window for every pixel', () => {
    fc.assert(
      fc.property(stepsArbitrary, (steps) => {
        const decoder = begun();
        const model = new Model();
        let dirty = 0;
        let last: number[] = [];
        for (const { orders, pdus } of steps) {
          push(decoder, pdus);
          for (const one of orders ?? []) model.apply(one);
          const { screen } = decoder;
          const seen = [...screen.pixels.words];
          assert.deepEqual(
            seen,
            model.picture(screen.desktop, (id) => screen.windows.contents.get(id)),
          );
          // A painter repaints what it is told and nothing else.
          const areas = screen.takeDirty();
          const changed = seen.flatMap((word, index) => (word === last[index] ? [] : [index]));
          const told = (index: number): boolean =>
            areas.some(
              ({ left, top, ...size }) =>
                index % width >= left &&
                index % width < left + size.width &&
                Math.floor(index / width) >= top &&
                Math.floor(index / width) < top + size.height,
            );
          if (dirty > 0) assert.ok(changed.every(told), 'a change was not told');
          dirty += 1;
          last = seen;
        }
      }),
      { numRuns: 50 },
    );
  });

  test('also of a thousand windows of crossed rectangles', () => {
    const decoder = begun();
    const model = new Model();
    for (let id = 1; id <= 1000; id += 1) {
      const visibilityRects = [rect(0, id % 31, 47, (id % 31) + 1), rect(id % 40, 0, (id % 40) + 1, 31)];
      const one = open(id, { ...place(-id % 5, -id % 7, 60, 60), visibilityRects });
      push(decoder, windows(one), fillDesktop(id % width, id % height, 1, 1, id & 255));
      model.apply(one);
    }
    const { screen } = decoder;
    assert.deepEqual(
      [...screen.pixels.words],
      model.picture(screen.desktop, () => null),
    );
    assert.deepEqual(counted(decoder), {});
  });

  test('come out the same from every state they are taken up at, looked at or not', () => {
    fc.assert(
      fc.property(stepsArbitrary, fc.nat(), fc.nat(), (steps, cut, look) => {
        const all = steps.flatMap(({ pdus }) => pdus);
        const played = begun();
        const seeking = begun();
        let taken: SessionDecoder | null = null;
        all.forEach((one, index) => {
          push(played, [one]);
          if (index % ((look % 3) + 1) === 0) played.screen.pixels;
          if (taken !== null) push(taken, [one]);
          else push(seeking, [one]);
          if (taken === null && index >= cut % all.length) {
            const state = seeking.snapshot();
            if (state !== null) {
              assert.deepEqual(pictureOf(state).words, played.screen.pixels.words);
              const kept = structuredClone(compactState(state));
              taken = new SessionDecoder();
              push(taken, windows(open(3, place(0, 0, 9, 9))));
              taken.restore(expandedState(kept));
            }
          }
          const other = taken ?? seeking;
          if (index === all.length - 1 || index % 4 === look % 4)
            assert.deepEqual(other.screen.pixels.words, played.screen.pixels.words);
        });
        const other = taken ?? seeking;
        assert.deepEqual(other.snapshot()?.screen, played.snapshot()?.screen);
      }),
      { numRuns: 50 },
    );
  });

  test('damaged ones end no replay', () => {
    fc.assert(
      fc.property(stepsArbitrary, fc.array(fc.tuple(fc.nat(), fc.nat(), fc.nat(255))), (steps, damages) => {
        const decoder = begun();
        const all = steps.flatMap(({ pdus }) => pdus).map(({ bytes }) => bytes.slice());
        // Behind the framing: what is damaged there is another matter.
        for (const [which, where, byte] of damages) {
          const bytes = all[which % all.length]!;
          if (bytes.length > 12) bytes[12 + (where % (bytes.length - 12))] = byte;
        }
        for (const bytes of all) decoder.push({ fromServer: true, bytes });
        assert.equal(decoder.screen.pixels.words.length, decoder.screen.width * decoder.screen.height);
      }),
      { numRuns: 50 },
    );
  });
});
