/** Which channels may be there at all: static ones by their place in the client's list, dynamic ones as they are opened. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { channelKinds, conferenceCreateRequest, mcsConnectInitial, mcsPdu, StreamInspector } from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { decode, encode, Writer } from '@lucid-sessions/wire';
import fc from 'fast-check';
import type { RelaySide } from '../src/events.ts';
import type { ChannelPolicy } from '../src/index.ts';
import { matches, PolicyJudge, refusesNothing } from '../src/policy/channel-policy.ts';
import { mcsBytesOf, wrapMcsBytes } from '../src/rewrite.ts';
import { exchange, policyOf, refusalsOf, said, streamsOf, underPolicy } from './support/channel-talk.ts';
import { channels, dataOf, pdusOf, RunningRelay } from './support/running-relay.ts';

const create = (id: number, name: string): Uint8Array => new Writer().u8(0x10).u8(id).latin1(name).u8(0).bytes();
const created = (id: number, status = 0): Uint8Array => new Writer().u8(0x10).u8(id).u32le(status).bytes();
const data = (id: number, text: string, command = 3): Uint8Array =>
  Buffer.concat(
    [Uint8Array.of(command << 4, id), command % 2 === 0 ? [200] : [], Buffer.from(text)].map((part) =>
      Buffer.from(part),
    ),
  );
const refusal = (id: number): string => Buffer.from(created(id, 0xc000_0001)).toString('hex');

test('each rule refuses its channels and no other', () => {
  const rules: [Partial<ChannelPolicy>, string[]][] = [
    [{}, []],
    [
      { audio: false },
      ['rdpsnd', 'audio_playback_dvc', 'audio_playback_lossy_dvc', 'audio_playback_dvc_lossy', 'tsmf'],
    ],
    [{ microphone: false }, ['audio_input']],
    [{ camera: false }, ['rdcamera_device_enumerator']],
    [{ usb: false }, ['urbdrc', 'pnpdr', 'fileredirectorchannel']],
    [{ printers: false }, ['xpsrd', 'tsvctkt', 'rdpdr']],
    [{ drives: false }, ['rdpdr']],
    [{ location: false }, ['microsoft::windows::rds::location']],
    [{ clipboard: 'in' }, ['cliprdr']],
    [{ clipboardFiles: 'off' }, ['cliprdr']],
    [{ others: false }, []],
    [{ deny: ['*::rds::T*', 'ECHO'], allow: ['echo'] }, ['microsoft::windows::rds::telemetry', 'echo']],
  ];
  for (const [policy, refused] of rules) {
    const judge = new PolicyJudge(policyOf(policy));
    const found = Object.keys(channelKinds).filter((name) => judge.dynamicChannel(name.toUpperCase()) !== null);
    assert.deepEqual(found.toSorted(), refused.toSorted(), JSON.stringify(policy));
    assert.equal(refusesNothing(policyOf(policy)), Object.keys(policy).length === 0);
  }
  const judge = new PolicyJudge(policyOf({ others: false, allow: ['contoso*'], deny: ['*secret'] }));
  assert.deepEqual(
    ['Fabrikam', 'Contoso::Pen', 'Contoso::Secret', 'RDCamera_Device_2'].map((name) => judge.dynamicChannel(name)),
    ['others', null, 'deny:*secret', null],
  );
  assert.equal(judge.describe(), 'others:off deny:*secret allow:contoso*');
  const off = new PolicyJudge(policyOf({ clipboard: 'off', clipboardFiles: 'off', smartCards: false }));
  assert.deepEqual([off.staticChannel('CLIPRDR'), off.staticChannel('rdpdr')], ['clipboard', null]);
  assert.equal(off.describe(), 'clipboard:off clipboard_files:off smart_cards:off');
});

test('patterns match as a shell’s do, and take no time over names made for it', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 8 }),
      fc.string({ unit: fc.constantFrom('a', 'B'), maxLength: 8 }),
      (pattern, name) => {
        const expected = new RegExp(`^${pattern.replaceAll('*', '.*')}$`, 'i').test(name);
        assert.equal(matches(pattern, name), expected);
      },
    ),
    { numRuns: 2000 },
  );
  assert.equal(matches(`${'*a'.repeat(60)}*b`, 'a'.repeat(1000)), false);
});

const namesIn = (pdu: Uint8Array): string[] =>
  decode(conferenceCreateRequest, decode(mcsConnectInitial, mcsBytesOf(pdu)).userData).blocks.flatMap((block) =>
    block.kind === 'network' ? block.channels.map(({ name }) => name.text) : [],
  );

test('a static channel that is refused keeps its place under a name of nobody’s; nothing on it crosses', () => {
  const running = new RunningRelay({
    channels: policyOf({ audio: false, clipboard: 'off', clipboardFiles: 'off' }),
  }).activated();
  const [received, delivered] = running.frames();
  assert.equal(received!.flags, frameFlags.receivedOnly);
  const names = namesIn(received!.bytes);
  assert.deepEqual(
    namesIn(delivered!.bytes),
    names.map((name, at) => (name === 'rdpsnd' || name === 'cliprdr' ? `unused${at}` : name)),
  );
  for (const from of ['client', 'server'] as const)
    for (const channelId of [channels.rdpsnd, channels.cliprdr, 1099])
      assert.deepEqual(exchange(running, from, channelId, Buffer.from('hello')).passed, []);
  assert.equal(exchange(running, 'client', channels.rdpdr, Buffer.from('anything')).passed.length, 1);
  assert.deepEqual(refusalsOf(running), [
    'channel rdpsnd refused (audio)',
    'channel cliprdr refused (clipboard)',
    'what could not be read on a channel nobody announced refused',
  ]);
  assert.equal(running.relay.refusals.get('what could not be read on a channel nobody announced refused'), 2);
});

test('the rules in force are told from the beginning, and UDP is not left in beside them', () => {
  const running = new RunningRelay({ channels: policyOf({ camera: false }), leaveIn: ['udp'] }).activated();
  assert.deepEqual(
    running.events.filter(({ kind }) => kind === 'policy'),
    [{ kind: 'policy', what: 'in force: camera:off', count: 0 }],
  );
  assert.ok(running.events.every((event) => event.kind !== 'downgrade' || !event.what.includes('leave_in udp')));
});

test('lists of channels nobody can read end the connection: a server may read them', () => {
  const [initial] = new RunningRelay().activated().frames();
  const connect = decode(mcsConnectInitial, mcsBytesOf(initial!.bytes));
  const request = decode(conferenceCreateRequest, connect.userData);
  const network = request.blocks.find(({ kind }) => kind === 'network')!;
  for (const blocks of [
    [...request.blocks, network],
    [
      ...request.blocks.filter((block) => block !== network),
      { kind: 'unknown', type: 0xc003, data: Uint8Array.of(9, 0) } as const,
    ],
  ]) {
    const userData = encode(conferenceCreateRequest, { ...request, blocks });
    const pdu = wrapMcsBytes(encode(mcsConnectInitial, { ...connect, userData }));
    assert.throws(
      () => new RunningRelay({ channels: policyOf({ camera: false }) }).send('client', pdu),
      /list of channels can not be read/,
    );
    new RunningRelay().send('client', pdu);
  }
  // Twice the same name, or one too long for a server to read it as it stands here.
  const channelsOf = (...names: string[]) => names.map((text) => ({ name: { text }, options: 0 }));
  const blocks = [{ kind: 'network', channels: channelsOf('drdynvc', 'DRDYNVC', 'rdpdr123', 'rdpdr') }] as never[];
  const userData = encode(conferenceCreateRequest, { ...request, blocks });
  const twice = new RunningRelay({ channels: policyOf({ camera: false }) });
  const passed = twice.send('client', wrapMcsBytes(encode(mcsConnectInitial, { ...connect, userData })));
  assert.deepEqual(namesIn(passed), ['drdynvc', 'unused1', 'unused2', 'rdpdr']);
});

test('a dynamic channel that is refused is answered in the client’s place; data without a channel goes nowhere', () => {
  for (const chunkBytes of [1600, 3]) {
    const running = underPolicy({ microphone: false });
    const say = (from: RelaySide, message: Uint8Array) =>
      exchange(running, from, channels.drdynvc, message, chunkBytes);
    assert.equal(say('server', Uint8Array.of(0x50, 0, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8)).passed.length, 1);
    assert.equal(say('client', Uint8Array.of(0x50, 0, 2, 0)).passed.length, 1);
    assert.deepEqual(say('server', create(7, 'AUDIO_INPUT')), { passed: [], toServer: [refusal(7)], toClient: [] });
    assert.equal(say('server', create(8, 'ECHO')).passed.length, 1);
    assert.equal(say('client', created(8)).passed.length, 1);
    assert.deepEqual(say('client', created(7)).passed, []);
    for (const from of ['client', 'server'] as const)
      for (const command of [2, 3, 6, 7]) {
        const message = data(8, 'x'.repeat(40), command);
        // The client's compressed data of a graphics channel is undone elsewhere; here only whose it is counts.
        assert.deepEqual(say(from, message).passed, [Buffer.from(message).toString('hex')]);
        assert.deepEqual(say(from, data(7, 'secret', command)).passed, []);
        assert.deepEqual(say(from, data(9, 'secret', command)).passed, []);
      }
    assert.deepEqual(say('server', Uint8Array.of(0x40, 7)).passed, []);
    assert.equal(say('server', Uint8Array.of(0x40, 8)).passed.length, 1);
    for (const message of ['83', '80000a00000000000000', 'b0', '33', '1007', ''])
      assert.deepEqual(say('server', Buffer.from(message, 'hex')).passed, [], message);
    // Under the name of one that may be used the id may be used again.
    assert.equal(say('server', create(7, 'ECHO')).passed.length, 1);
    assert.equal(say('client', data(7, 'hello')).passed.length, 1);
    assert.equal(say('server', create(7, 'audio_input')).passed.length, 0);
    assert.equal(say('client', data(7, 'hello')).passed.length, 0);
    assert.ok(refusalsOf(running).includes('dynamic channel AUDIO_INPUT refused (microphone)'));
  }
});

test('videos stay refused for replay’s sake, and told as that', () => {
  const running = underPolicy({ camera: false });
  assert.deepEqual(exchange(running, 'server', channels.drdynvc, create(9, 'TSMF')).toServer, [refusal(9)]);
  assert.deepEqual(refusalsOf(running), []);
  assert.ok(running.events.some((event) => event.kind === 'downgrade' && event.what.startsWith('channels for videos')));
});

test('compression of channels is not announced, and ends the session where it comes all the same', () => {
  const running = new RunningRelay({ channels: policyOf({ camera: false }) }).activated();
  assert.ok(running.events.every((event) => event.kind !== 'downgrade' || !event.what.startsWith('what the client')));
  const compressed = new Writer().u32le(5).u32le(0x0020_0003).slice(Buffer.alloc(5)).bytes();
  assert.throws(() => running.send('server', dataOf('server', channels.drdynvc, compressed)), /not agreed on/);
  const open = new RunningRelay().activated();
  assert.equal(open.send('server', dataOf('server', channels.drdynvc, compressed)).length > 0, true);
});

test('what a policy can’t read of the connection itself goes no further', () => {
  const running = underPolicy({ camera: false });
  const lying = dataOf('client', channels.drdynvc, Buffer.from('0500000003000000aabbccddee', 'hex'));
  const behind = Buffer.concat([lying, Buffer.from('smuggled')]);
  behind.writeUInt16BE(behind.length, 2);
  const unread = Buffer.concat([Buffer.from([3, 0, 0, 60, 2, 0xf0, 0x80, 0x70]), Buffer.alloc(52, 0x41)]);
  for (const pdu of [behind, unread]) assert.equal(running.send('client', pdu).length, 0);
  assert.equal(running.send('server', unread).length, 0);
  assert.deepEqual(refusalsOf(running), ['what could not be read on the connection refused']);
});

/** Anything a peer may say on a channel, with a text in it that the policy keeps from the other. */
const NEEDLE = 'needle-in-what-is-denied';
const denied = {
  cliprdr: fc
    .record({
      type: fc.integer({ min: 0, max: 13 }),
      flags: fc.integer({ min: 0, max: 7 }),
      head: fc.uint8Array({ maxLength: 40 }),
    })
    .map(({ type, flags, head }) =>
      new Writer()
        .u16le(type)
        .u16le(flags)
        .u32le(head.length + NEEDLE.length)
        .slice(head)
        .latin1(NEEDLE)
        .bytes(),
    ),
  rdpdr: fc
    .record({
      id: fc.integer({ min: 0, max: 3 }),
      head: fc.uint8Array({ maxLength: 20 }),
      packet: fc.constantFrom(0x4441, 0x4943, 0x4350, 0x444d, 7),
    })
    .map(({ id, head, packet }) =>
      packet === 0x4441
        ? new Writer()
            .u16le(0x4472)
            .u16le(packet)
            .u32le(1)
            .u32le(8)
            .u32le(id)
            .latin1('DRIVE\0\0\0')
            .u32le(NEEDLE.length)
            .latin1(NEEDLE)
            .bytes()
        : new Writer().u16le(0x4472).u16le(packet).u32le(id).slice(head).latin1(NEEDLE).bytes(),
    ),
  drdynvc: fc
    .record({
      command: fc.constantFrom(2, 3, 6, 7),
      id: fc.integer({ min: 0, max: 3 }),
      head: fc.uint8Array({ maxLength: 20 }),
    })
    .map(({ command, id, head }) => Buffer.concat([Uint8Array.of(command << 4, id), head, Buffer.from(NEEDLE)])),
} as const;

const spoken = fc.oneof(
  fc.record({ channel: fc.constantFrom('cliprdr' as const), message: denied.cliprdr }),
  fc.record({ channel: fc.constantFrom('rdpdr' as const), message: denied.rdpdr }),
  fc.record({ channel: fc.constantFrom('drdynvc' as const), message: denied.drdynvc }),
);
const asides = fc.constantFrom<[RelaySide, 'cliprdr' | 'rdpdr' | 'drdynvc', string]>(
  ['server', 'cliprdr', '04000000040000000d000000'],
  ['server', 'cliprdr', '0800000018000000010000000000000002000000000000000000000000100000'],
  ['server', 'rdpdr', '72445249010000000100000063000000030000000000000000'],
  ['server', 'drdynvc', Buffer.from(create(1, 'URBDRC')).toString('hex')],
  ['client', 'drdynvc', Buffer.from(created(1)).toString('hex')],
);

test('nothing that is denied reaches the other side, however it is cut, flagged and ordered; both streams stay whole in the recording', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          said: spoken,
          aside: fc.option(asides, { nil: null }),
          chunkBytes: fc.constantFrom(1, 2, 3, 7, 9, 30, 1600),
          flags: fc.constantFrom(null, null, null, 0, 1, 2, 3),
          length: fc.constantFrom(null, null, null, 0, 5, 100_000),
          pieceBytes: fc.constantFrom(1, 5, 13, 4000),
        }),
        { minLength: 1, maxLength: 12 },
      ),
      (all) => {
        const running = underPolicy({
          clipboard: 'out',
          clipboardFiles: 'out',
          drives: false,
          others: false,
          usb: false,
        });
        const sent: Uint8Array[] = [];
        const got: Buffer[] = [];
        const push = (from: RelaySide, pdu: Uint8Array, pieceBytes: number): void => {
          const passed = running.send(from, pdu, pieceBytes);
          if (from === 'client') {
            sent.push(pdu);
            got.push(passed);
          }
        };
        for (const { said: one, aside, chunkBytes, flags, length, pieceBytes } of all) {
          if (aside !== null)
            for (const pdu of said(aside[0], channels[aside[1]], Buffer.from(aside[2], 'hex')))
              push(aside[0], pdu, pieceBytes);
          for (const pdu of said('client', channels[one.channel], one.message, chunkBytes)) {
            const changed = Buffer.from(pdu);
            const chunkAt = changed[13]! >= 0x80 ? 15 : 14;
            if (flags !== null) changed.writeUInt32LE(flags, chunkAt + 4);
            if (length !== null) changed.writeUInt32LE(length, chunkAt);
            push('client', changed, pieceBytes);
          }
        }
        const passed = Buffer.concat(got);
        // Whatever the flags say: pieces of it on one channel, one behind the other.
        const bodies = new Map<number, Buffer[]>();
        for (const pdu of pdusOf(passed)) {
          const { channelId, data: chunk } = decode(mcsPdu, mcsBytesOf(pdu)) as { channelId: number; data: Uint8Array };
          bodies.set(channelId, [...(bodies.get(channelId) ?? []), Buffer.from(chunk.subarray(8))]);
        }
        for (const list of bodies.values()) assert.equal(Buffer.concat(list).includes(NEEDLE), false);
        const frames = running.frames();
        const streams = streamsOf(frames, 0);
        assert.ok(streams.sent.equals(Buffer.concat(sent)), 'what the client sent');
        const inOrder = streams.got.length;
        assert.equal(inOrder, passed.length + Buffer.concat(running.toServer).length, 'what the server got');
        const inspector = new StreamInspector();
        for (const { flags, bytes } of running.tap.frames)
          if ((flags & frameFlags.receivedOnly) === 0) inspector.push((flags & 1) === 0 ? 'client' : 'server', bytes);
      },
    ),
    { numRuns: 400 },
  );
});
