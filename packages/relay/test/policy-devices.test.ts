/** Redirected devices under a policy: what may not be used is not announced, and asking for it leads nowhere. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeviceComponent, DevicePacketId, DeviceType } from '@lucid-sessions/rdp';
import { Writer } from '@lucid-sessions/wire';
import type { RelaySide } from '../src/events.ts';
import type { ChannelPolicy } from '../src/index.ts';
import { exchange, refusalsOf, underPolicy } from './support/channel-talk.ts';
import { channels, type RunningRelay } from './support/running-relay.ts';

const core = (packetId: number, data: Uint8Array): Buffer =>
  Buffer.from(new Writer().u16le(DeviceComponent.core).u16le(packetId).slice(data).bytes());
const announce = (...devices: (readonly [type: number, id: number])[]): Buffer =>
  core(
    DevicePacketId.deviceListAnnounce,
    devices
      .reduce(
        (writer, [type, id]) => writer.u32le(type).u32le(id).latin1(`DEV${id}`.padEnd(8, '\0')).u32le(3).latin1('abc'),
        new Writer().u32le(devices.length),
      )
      .bytes(),
  );
const ioRequest = (deviceId: number, major = 3): Buffer =>
  core(
    DevicePacketId.deviceIoRequest,
    new Writer().u32le(deviceId).u32le(1).u32le(99).u32le(major).u32le(0).latin1('what is asked').bytes(),
  );
const ioCompletion = (deviceId: number): Buffer =>
  core(DevicePacketId.deviceIoCompletion, new Writer().u32le(deviceId).u32le(99).u32le(0).latin1('contents').bytes());
const remove = (...ids: number[]): Buffer =>
  core(DevicePacketId.deviceListRemove, ids.reduce((w, id) => w.u32le(id), new Writer().u32le(ids.length)).bytes());
const say = (running: RunningRelay, from: RelaySide, message: Uint8Array, chunkBytes?: number) =>
  exchange(running, from, channels.rdpdr, message, chunkBytes);

const all = Object.values(DeviceType).map((type, at) => [type, at + 1] as const);
const rules: [Partial<ChannelPolicy>, number[]][] = [
  [{ drives: false }, [DeviceType.filesystem]],
  [{ printers: false }, [DeviceType.printer]],
  [{ ports: false }, [DeviceType.serial, DeviceType.parallel]],
  [{ smartCards: false }, [DeviceType.smartcard]],
  [{ drives: false, printers: false, ports: false, smartCards: false }, Object.values(DeviceType)],
];

for (const [policy, refused] of rules)
  test(`${Object.keys(policy).join(', ')} off: not announced, not asked for, nothing of them sent`, () => {
    for (const chunkBytes of [1600, 5]) {
      const running = underPolicy(policy);
      const kept = all.filter(([type]) => !refused.includes(type));
      assert.deepEqual(say(running, 'client', announce(...all), chunkBytes).passed, [
        announce(...kept).toString('hex'),
      ]);
      for (const [type, id] of all) {
        const isRefused = refused.includes(type);
        const asked = say(running, 'server', ioRequest(id), chunkBytes);
        assert.deepEqual(asked.passed, isRefused ? [] : [ioRequest(id).toString('hex')]);
        const none = new Writer().u32le(id).u32le(99).u32le(0xc000_000e).u32le(0).bytes();
        assert.deepEqual(
          asked.toServer,
          isRefused ? [core(DevicePacketId.deviceIoCompletion, none).toString('hex')] : [],
        );
        assert.equal(say(running, 'client', ioCompletion(id), chunkBytes).passed.length, isRefused ? 0 : 1);
      }
      assert.ok(refusalsOf(running).some((what) => what.startsWith('device refused: ')));
    }
  });

test('a device that comes later, or that takes the id of another, is judged by what it is', () => {
  const running = underPolicy({ drives: false });
  say(running, 'client', announce([DeviceType.printer, 1]));
  assert.deepEqual(say(running, 'client', announce([DeviceType.filesystem, 1])).passed, [announce().toString('hex')]);
  assert.deepEqual(say(running, 'server', ioRequest(1)).passed, []);
  assert.deepEqual(
    say(running, 'client', announce([0x99, 2])).passed,
    [announce().toString('hex')],
    'of no known type',
  );
  say(running, 'client', announce([DeviceType.printer, 3]));
  assert.deepEqual(say(running, 'client', remove(1, 3)).passed, [remove(3).toString('hex')]);
  assert.deepEqual(say(running, 'client', remove(1)).passed, []);
  assert.deepEqual(say(running, 'server', ioRequest(3)).passed, []);
});

test('abilities of refused devices are taken out on both ways, introductions pass, and the unknown is refused', () => {
  const running = underPolicy({ drives: false, printers: false });
  const sets = [1, 2, 3, 4, 5].map((type) => new Writer().u16le(type).u16le(12).u32le(1).u32le(type).bytes());
  const capabilities = (packetId: number, list: Uint8Array[]): Buffer =>
    core(packetId, Buffer.concat([new Writer().u16le(list.length).u16le(0).bytes(), ...list]));
  const { clientCapability, serverCapability } = DevicePacketId;
  for (const [from, packetId] of [
    ['client', clientCapability],
    ['server', serverCapability],
  ] as const) {
    const kept = [sets[0]!, sets[2]!, sets[4]!];
    assert.deepEqual(say(running, from, capabilities(packetId, sets)).passed, [
      capabilities(packetId, kept).toString('hex'),
    ]);
    assert.equal(say(running, from, capabilities(packetId, kept)).passed.length, 1);
    assert.deepEqual(say(running, from, core(packetId, Uint8Array.of(9, 0, 0, 0, 1))).passed, []);
  }
  const hello = core(DevicePacketId.serverAnnounce, Buffer.alloc(8));
  assert.equal(say(running, 'server', hello).passed.length, 1);
  for (const [from, message] of [
    ['client', hello],
    ['server', announce()],
    ['client', core(0x1234, Buffer.alloc(4))],
    ['client', core(DevicePacketId.clientName, Buffer.alloc(4000))],
    ['client', core(DevicePacketId.deviceListAnnounce, new Writer().u32le(9).bytes())],
    ['client', Buffer.from([0x52, 0x50, 0x43, 0x50, 1])],
    ['client', Buffer.from([9, 9, 9, 9])],
    ['client', Buffer.from([9])],
    ['server', core(DevicePacketId.deviceIoRequest, Buffer.alloc(3))],
  ] as const)
    assert.deepEqual(say(running, from, message).passed, [], message.toString('hex'));
  assert.ok(refusalsOf(running).includes('what could not be read on rdpdr refused'));
});
