import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readCapture } from '@lucid-sessions/testkit';
import { type Codec, DecodeError, decode, encode } from '@lucid-sessions/wire';
import { BulkDecompressor } from '../src/bulk/index.ts';
import {
  type BulkHook,
  ClipboardType,
  clipboardMessage,
  DeviceMajorFunction,
  DevicePacketId,
  DeviceType,
  deviceCreateRequest,
  deviceIoRequest,
  deviceListAnnounce,
  deviceMessage,
  formatDataRequest,
  type InspectedEvent,
  longFormatNames,
  PduType2,
  type Sender,
  StreamInspector,
} from '../src/index.ts';
import { CaptureCounts } from './capture-counts.ts';

const captures = new URL('../../../testkit/captures/', import.meta.url);
const names = readdirSync(captures).filter((name) => name.endsWith('.rdpcap.gz'));
const index = JSON.parse(readFileSync(new URL('index.json', captures), 'utf8')) as {
  file: string;
  pdus: Record<string, number>;
}[];

/** What `index.json` could decompress: RDP 4 and 5 only. */
function mppcOnly(): BulkHook {
  const bulk = new BulkDecompressor();
  return (data, flags) => {
    if ((flags & 15) >= 2) throw new DecodeError('unsupported', 'RDP 6 bulk compression', 0);
    return bulk.decompress(data, flags);
  };
}

function inspect(name: string, hook: () => BulkHook, pieceBytes = Number.POSITIVE_INFINITY): InspectedEvent[] {
  const inspector = new StreamInspector({ client: hook(), server: hook() });
  const events: InspectedEvent[] = [];
  for (const record of readCapture(new URL(name, captures).pathname).records)
    for (let at = 0; at < record.bytes.length; at += pieceBytes) {
      const sender: Sender = record.fromServer ? 'server' : 'client';
      events.push(...inspector.push(sender, record.bytes.subarray(at, at + pieceBytes)));
    }
  assert.equal(inspector.pending('client'), 0, 'client bytes are left over');
  return events;
}

test('there are 26 captures', () => assert.equal(names.length, 26));

for (const name of names) {
  test(`${name}: every PDU of both directions is framed and classified`, () => {
    const events = inspect(name, mppcOnly);
    const malformed = events.filter((event) => event.kind === 'malformed');
    assert.deepEqual(malformed, []);
    const unnamed = events.filter((event) => event.kind === 'channelChunk' && event.channelName === '');
    assert.deepEqual(unnamed, []);
    const types = new Set<number>(Object.values(PduType2));
    const untyped = events.filter((event) => event.kind === 'shareData' && !types.has(event.pdu.pduType2));
    assert.deepEqual(untyped, []);
    for (const kind of ['connectInitial', 'connectResponse', 'clientInfo', 'demandActive', 'confirmActive'] as const)
      assert.ok(
        events.some((event) => event.kind === kind),
        `no ${kind}`,
      );
  });

  const expected = index.find((entry) => `${entry.file}.gz` === name || entry.file === name);
  if (expected)
    test(`${name}: counts are those of index.json`, () => {
      const counts = new CaptureCounts();
      for (const event of inspect(name, mppcOnly)) counts.add(event);
      const found = Object.fromEntries(Object.keys(expected.pdus).map((key) => [key, counts.counts[key] ?? 0]));
      assert.deepEqual(found, expected.pdus);
    });
}

test('all bulk compression in the captures is undone by the full decompressor', () => {
  for (const name of names) {
    const events = inspect(name, () => {
      const bulk = new BulkDecompressor();
      return (data, flags) => bulk.decompress(data, flags);
    });
    const lost = events.filter(
      (event) =>
        event.kind === 'malformed' ||
        ((event.kind === 'fastPathUpdate' || event.kind === 'shareData') && event.data === null),
    );
    assert.deepEqual(lost, [], name);
  }
});

test('the same events come out whatever pieces the bytes come in', () => {
  const kinds = (events: InspectedEvent[]) => {
    const bySender: Record<string, string[]> = { client: [], server: [] };
    for (const event of events) bySender[event.sender]!.push(`${event.frame} ${event.kind} ${event.frameBytes}`);
    return bySender;
  };
  for (const name of ['gnome-type-rfx-surfcmds.rdpcap.gz', 'xorg-clip-drive.rdpcap.gz'])
    assert.deepEqual(kinds(inspect(name, mppcOnly, 97)), kinds(inspect(name, mppcOnly)), name);
});

/** Messages of one channel in one capture, whole. */
function messages(name: string, channel: string, sender: Sender): Uint8Array[] {
  return inspect(name, mppcOnly).flatMap((event) =>
    event.kind === 'channelMessage' && event.channelName === channel && event.sender === sender && event.message
      ? [event.message]
      : [],
  );
}

/** Decodes and holds against the bytes. */
function exactly<T>(codec: Codec<T>, bytes: Uint8Array): T {
  const value = decode(codec, bytes);
  assert.equal(Buffer.compare(encode(codec, value), bytes), 0, codec.name);
  return value;
}

test('the clipboard of a real session says which formats and which text crossed', () => {
  const both = (['client', 'server'] as const).flatMap((sender) =>
    messages('xorg-clip-drive.rdpcap.gz', 'cliprdr', sender),
  );
  const names: string[] = [];
  let requests = 0;
  for (const message of both) {
    const { msgType, dataLen, data } = exactly(clipboardMessage, message);
    const body = data.subarray(0, dataLen);
    if (msgType === ClipboardType.formatDataRequest)
      requests += exactly(formatDataRequest, body).requestedFormatId && 1;
    if (msgType === ClipboardType.formatList && dataLen % 36 !== 0)
      names.push(...exactly(longFormatNames, body).map((format) => format.formatName));
  }
  assert.equal(requests, 2);
  assert.ok(names.length > 0);
});

test('a redirected drive of a real session says what was opened', () => {
  const name = 'xorg-rdesktop-drive.rdpcap.gz';
  const paths: string[] = [];
  for (const message of messages(name, 'rdpdr', 'server')) {
    const { packetId, data } = exactly(deviceMessage, message);
    if (packetId !== DevicePacketId.deviceIoRequest) continue;
    const request = exactly(deviceIoRequest, data);
    if (request.majorFunction === DeviceMajorFunction.create)
      paths.push(Buffer.from(exactly(deviceCreateRequest, request.data).path).toString('utf16le').replace('\0', ''));
  }
  assert.ok(paths.includes('\\hello.txt') && paths.includes('\\back.txt'), paths.join());
  const announced = messages(name, 'rdpdr', 'client')
    .map((message) => exactly(deviceMessage, message))
    .filter((message) => message.packetId === DevicePacketId.deviceListAnnounce)
    .flatMap((message) => exactly(deviceListAnnounce, message.data).devices);
  assert.deepEqual(
    announced.map((device) => [device.deviceType, device.preferredDosName.text]),
    [[DeviceType.filesystem, 'share']],
  );
});
