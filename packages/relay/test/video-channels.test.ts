/** Videos that come by channels of their own are drawn by nobody here: they are counted, so that no recording of one looks whole. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SessionDecoder } from '@lucid-sessions/graphics';
import { channelPdus } from '@lucid-sessions/testkit';
import { Writer } from '@lucid-sessions/wire';
import { channels, RunningRelay } from './support/running-relay.ts';

const id = 40;

/** A decoder of a session in which the server opened a channel of this name, and what is counted of messages on it. */
function counted(name: string, messages: readonly Uint8Array[]): Record<string, number> {
  const decoder = new SessionDecoder();
  const running = new RunningRelay().activated();
  for (const { flags, bytes } of running.tap.frames) decoder.push({ fromServer: (flags & 1) !== 0, bytes });
  const before = new Map(decoder.screen.unsupported);
  const create = new Writer().u8(0x10).u8(id).latin1(name).u8(0).bytes();
  const data = messages.map((message) => new Writer().u8(0x30).u8(id).slice(message).bytes());
  for (const [fromServer, message] of [
    [true, create],
    [false, Uint8Array.of(0x10, id, 0, 0, 0, 0)],
    ...data.map((one) => [true, one] as const),
  ] as const)
    for (const { bytes } of channelPdus(fromServer, channels.drdynvc, message)) decoder.push({ fromServer, bytes });
  return Object.fromEntries([...decoder.screen.unsupported].filter(([kind]) => !before.has(kind)));
}

const shared = (functionId: number): Uint8Array => new Writer().u32le(0).u32le(1).u32le(functionId).u32le(7).bytes();

test('packets of a video and samples of TSMF are counted; what only announces them, and other channels, are not', () => {
  const packet = Uint8Array.of(20, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3);
  assert.deepEqual(counted('Microsoft::Windows::RDS::Video::Data::v08.01', [packet, packet]), { 'video.data': 2 });
  assert.deepEqual(counted('Microsoft::Windows::RDS::Video::Control::v08.01', [packet]), {});
  assert.deepEqual(counted('Microsoft::Windows::RDS::Geometry::v08.01', [packet]), {});
  assert.deepEqual(counted('TSMF', [shared(0x105), shared(0x103), shared(0x103), Uint8Array.of(1)]), {
    'video.tsmf': 2,
  });
  assert.deepEqual(counted('ECHO', [packet]), {});
});
