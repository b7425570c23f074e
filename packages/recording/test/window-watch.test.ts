import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  DesktopOrderFlag,
  gfxPdu,
  type WindowFields,
  type WindowOrder,
  WindowOrderFlag,
  windowOrder,
  windowOrderOf,
} from '@lucid-sessions/graphics';
import {
  type CapabilitySet,
  confirmActive,
  displayControlLayout,
  displayControlPdu,
  FastPathUpdateCode,
  fastPathOutput,
  mcsPdu,
  PduType,
  PduType2,
  shareControlPdu,
  shareDataPdu,
  tpkt,
  wrapShareControl,
  x224Data,
} from '@lucid-sessions/rdp';
import { DynamicChannels, type SentPdu } from '@lucid-sessions/testkit';
import { encode, Writer } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { type IndexEvent, SessionIndexer } from '../src/session-index/index.ts';
import { captureFrames } from './support/frames.ts';

const channels = new DynamicChannels(1007);
const GRAPHICS = 'Microsoft::Windows::RDS::Graphics';
const DISPLAY = 'Microsoft::Windows::RDS::DisplayControl';

const first = new SessionIndexer();
for (const frame of captureFrames('xorg-clip-drive').slice(0, 60)) first.push(frame);
first.take(0, false);

/** What an index says of PDUs behind a real session's beginning; its state is saved and restored between any two. */
function indexed(pdus: readonly SentPdu[]): IndexEvent[] {
  let indexer = first;
  const events: IndexEvent[] = [];
  for (const [i, { fromServer, bytes }] of pdus.entries()) {
    const next = new SessionIndexer();
    next.restore(structuredClone(indexer.state()));
    indexer = next;
    indexer.push({ kind: 0, flags: fromServer ? 1 : 0, channelId: 0, timeUs: 100e6 + i * 1000, body: bytes });
    events.push(...indexer.take(1, false).events);
  }
  return events;
}

function share(fromServer: boolean, body: Uint8Array): SentPdu {
  const kind = fromServer ? 'sendDataIndication' : 'sendDataRequest';
  const payload = encode(mcsPdu, { kind, initiator: 1007, channelId: 1003, priority: 0x70, data: body });
  return { fromServer, bytes: encode(tpkt, { reserved: 0, payload: encode(x224Data, { payload }) }) };
}

/** The client's Confirm Active. */
const confirms = (capabilitySets: CapabilitySet[]): SentPdu =>
  share(
    false,
    wrapShareControl(PduType.confirmActive, 1007, confirmActive, {
      shareId: 1,
      originatorId: 0x3ea,
      sourceDescriptor: new Uint8Array(0),
      pad2Octets: 0,
      capabilitySets,
    }),
  );
const windowList = { kind: 'windowList', wndSupportLevel: 2, numIconCaches: 3, numIconCacheEntries: 12 } as const;
const wantsWindows = confirms([{ kind: 'remotePrograms', railSupportLevel: 3 }, windowList]);

/** Among other orders: a screen blit, a cached palette (7 bytes of it), an offscreen bitmap. */
function orders(...list: readonly WindowOrder[]): Uint8Array {
  const data = new Writer().u16le(list.length + 3);
  data.slice(Uint8Array.of(0x09, 0x02, 0x7f, 0, 0, 0, 0, 1, 0, 1, 0, 0xcc, 0, 0, 0, 0));
  data.u8(0x03).u16le(0).u16le(0).u8(1).slice(new Uint8Array(7));
  data.u8(0x06).u16le(0x8001).u16le(4).u16le(4).u16le(1).u16le(9);
  for (const order of list) {
    const body = encode(windowOrder, order);
    data
      .u8(0x2e)
      .u16le(body.length + 3)
      .slice(body);
  }
  return data.bytes();
}

function fast(...list: readonly WindowOrder[]): SentPdu {
  const one = { updateCode: FastPathUpdateCode.orders, fragmentation: 0, compression: 0, data: orders(...list) };
  return { fromServer: true, bytes: encode(fastPathOutput, { flags: 0, reserved: 0, updates: [one] }) };
}

function slow(...list: readonly WindowOrder[]): SentPdu {
  const whole = orders(...list);
  const count = whole.subarray(0, 2);
  const data = new Writer().u16le(0).u16le(0).slice(count).u16le(0).slice(whole.subarray(2)).bytes();
  const sizes = { uncompressedLength: data.length, compressedLength: 0, compressedType: 0 };
  const header = { shareId: 1, pad1: 0, streamId: 1, pduType2: PduType2.update, ...sizes };
  const body = encode(shareDataPdu, { ...header, data });
  return share(true, encode(shareControlPdu, { pduType: 0x10 | PduType.data, pduSource: 1002, body }));
}

const titled = (title: string): WindowFields => ({ titleInfo: new Uint8Array(Buffer.from(title, 'utf16le')) });
const opened = (windowId: number, fields: WindowFields): WindowOrder => windowOrderOf(windowId, true, fields);
const told = (windowId: number, fields: WindowFields): WindowOrder => windowOrderOf(windowId, false, fields);
const desktop = (flags: number, activeWindowId?: number): WindowOrder => ({
  kind: 'desktop',
  flags: WindowOrderFlag.desktop | flags | (activeWindowId === undefined ? 0 : DesktopOrderFlag.activeWindow),
  ...(activeWindowId !== undefined && { activeWindowId }),
  trailing: new Uint8Array(0),
});
const closed = (windowId: number): WindowOrder => ({
  kind: 'windowDeleted',
  flags: WindowOrderFlag.window | WindowOrderFlag.deleted,
  windowId,
  trailing: new Uint8Array(0),
});

const windowsOf = (events: readonly IndexEvent[]): string[] =>
  events.flatMap((event) => (event.kind === 'window' ? [`${event.what} ${event.windowId} ${event.title}`] : []));

test('windows open, come to the front, are renamed and close, by their titles', () => {
  const events = indexed([
    wantsWindows,
    fast(
      opened(1, titled('Payroll\0 and what follows')),
      opened(2, {}),
      opened(3, { ...titled('Helper'), showState: 0 }),
    ),
    slow(told(2, titled('Salaries.xlsx')), desktop(0, 2), desktop(0, 2), desktop(0, 1)),
    fast(told(1, { showState: 2 }), told(1, titled('Payroll *')), told(3, { showState: 5 })),
    // The server begins anew and names all but one again.
    fast(desktop(DesktopOrderFlag.hooked | DesktopOrderFlag.syncBegan), opened(1, titled('Payroll *'))),
    fast(opened(3, titled('Helper')), desktop(DesktopOrderFlag.syncCompleted)),
    slow(closed(1), closed(1), closed(77)),
  ]);
  assert.deepEqual(windowsOf(events), [
    'opened 1 Payroll',
    'opened 2 Salaries.xlsx',
    'activated 2 Salaries.xlsx',
    'activated 1 Payroll',
    'renamed 1 Payroll *',
    'opened 3 Helper',
    'closed 2 Salaries.xlsx',
    'closed 1 Payroll *',
  ]);
});

test('orders are not read where the client asked for no windows', () => {
  assert.deepEqual(windowsOf(indexed([fast(opened(1, titled('Payroll')))])), []);
  // As mstsc does for a whole desktop.
  assert.deepEqual(windowsOf(indexed([confirms([windowList]), fast(opened(1, titled('Payroll')))])), []);
});

test('damaged orders make no index end, and floods fill none', () => {
  const flood = Array.from({ length: 1100 }, (_, id) => opened(id, titled(`${id}`)));
  const parts = [flood.slice(0, 500), flood.slice(500)].map((part) => fast(...part));
  assert.equal(windowsOf(indexed([wantsWindows, ...parts])).length, 1024);
  const { bytes } = fast(opened(1, titled('Payroll')), desktop(0, 1), told(1, titled('x')));
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }), (damages) => {
      const damaged = bytes.slice();
      for (const [at, byte] of damages) damaged[6 + (at % (bytes.length - 6))] = byte;
      indexed([wantsWindows, { fromServer: true, bytes: damaged }, fast(closed(1))]);
    }),
    { numRuns: 40 },
  );
});

test('a layout of monitors the client asks for is told once the desktop has its size', () => {
  const monitor = (left: number, width: number, flags: number) => {
    const rest = {
      physicalWidth: 0,
      physicalHeight: 0,
      orientation: 0,
      desktopScaleFactor: 100,
      deviceScaleFactor: 100,
    };
    return { flags, left, top: 0, width, height: 800, ...rest };
  };
  const asks = (...monitors: ReturnType<typeof monitor>[]): SentPdu[] => {
    const data = encode(displayControlLayout, { monitorLayoutSize: 40, monitors });
    return channels.send(false, 6, encode(displayControlPdu, { type: 2, length: data.length + 8, data }));
  };
  const reset = (width: number): SentPdu[] => {
    const pad = new Uint8Array(320);
    const command = encode(gfxPdu, {
      kind: 'resetGraphics',
      flags: 0,
      body: { width, height: 800, monitors: [], pad },
    });
    return channels.send(true, 5, Uint8Array.from([0xe0, 0x04, ...command]));
  };
  const events = indexed([
    ...channels.open(5, GRAPHICS),
    ...channels.open(6, DISPLAY),
    ...channels.send(true, 6, Uint8Array.of(5, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)),
    ...asks(monitor(0, 1280, 1), monitor(-1024, 1024, 0)),
    ...reset(1280),
    ...reset(2304),
    ...channels.send(false, 6, Uint8Array.of(2, 0, 0, 0, 16, 0, 0, 0, 40, 0, 0, 0, 255, 0, 0, 0)),
    ...reset(1000),
  ]);
  assert.deepEqual(
    events.flatMap((event) =>
      event.kind === 'monitors' ? [event.monitors.map(({ left, width }) => `${left} ${width}`)] : [],
    ),
    [['0 1280', '-1024 1024'], ['0 1000']],
  );
});
