import assert from 'node:assert/strict';
import { test } from 'node:test';
import { channelKind, channelKinds, fastPathInput, PduType2, slowPathInput, wrapShareData } from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { encode, Writer } from '@lucid-sessions/wire';
import fc from 'fast-check';
import type { Keeping } from '../src/content-tap.ts';
import type { RelaySide } from '../src/events.ts';
import { channels, dataOf, RunningRelay } from './support/running-relay.ts';

const FIRST = 1;
const LAST = 2;
const secretText = 'hunter2-Zebra';
const needles = [Buffer.from(secretText), Buffer.from(secretText, 'utf16le')];
const secret16 = Buffer.from(secretText, 'utf16le');

const chunk = (message: Uint8Array, flags = FIRST | LAST, length = message.length): Uint8Array =>
  new Writer().u32le(length).u32le(flags).slice(message).bytes();
const dvc = (from: RelaySide, message: Uint8Array, flags?: number): Uint8Array =>
  dataOf(from, channels.drdynvc, chunk(message, flags));
const create = (id: number, name: string): Uint8Array =>
  dvc('server', new Writer().u8(0x10).u8(id).latin1(name).u8(0).bytes());
const created = (id: number, status = 0): Uint8Array =>
  dvc('client', new Writer().u8(0x10).u8(id).u32le(status).bytes());
const data = (from: RelaySide, id: number, message: Uint8Array): Uint8Array =>
  dvc(from, Buffer.concat([Uint8Array.of(0x30, id), message]));

/** A session with a dynamic channel of that name. */
function withChannel(
  name: string,
  id = 7,
  keep: { input: Keeping; clipboard: Keeping } = { input: 'full', clipboard: 'full' },
): RunningRelay {
  const session = new RunningRelay({ keep, leaveIn: ['video'] }).activated();
  session.send('server', create(id, name));
  session.send('client', created(id));
  session.frames();
  return session;
}

const isSealed = (session: RunningRelay): boolean[] =>
  session.frames().map(({ flags }) => (flags & frameFlags.inputs) !== 0);

/** Bytes of the secret somebody finds who has only the key that opens pictures. */
function clearSecrets(session: RunningRelay): number {
  let found = 0;
  for (const { flags, bytes } of session.frames())
    if ((flags & frameFlags.inputs) === 0) for (const needle of needles) if (bytes.includes(needle)) found += 1;
  return found;
}

test('every name of the table has its class in whatever case it comes, and no other name has one', () => {
  for (const [name, kind] of Object.entries(channelKinds)) {
    assert.equal(channelKind(name), kind);
    assert.equal(channelKind(name.toUpperCase()), kind);
  }
  assert.equal(channelKind('RDCamera_Device_12').class, 'camera');
  for (const name of ['', 'constructor', 'SPDSVC', 'Microsoft::Windows::RDS::Graphics2'])
    assert.deepEqual(channelKind(name), { class: 'unknown', client: 'inputs', server: 'open' });
});

test('every dynamic channel is recorded by its class, in both directions', () => {
  for (const [name, kind] of [...Object.entries(channelKinds), ['Nobody::Knows', channelKind('x')] as const]) {
    const session = withChannel(name);
    // Nothing that reads as a message of any channel.
    const message = Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9);
    session.send('client', data('client', 7, message));
    session.send('server', data('server', 7, message));
    const sealed = [kind.client, kind.server].map((content) => content !== 'open');
    assert.deepEqual(isSealed(session), sealed, name);
    assert.equal(session.relay.channels.get(name), kind.class);
    assert.equal(session.relay.unknownChannels.get(name), kind.class === 'unknown' ? 1 : undefined);
  }
});

const coreInput = (...events: Parameters<typeof fastPathInput.encode>[0]['events']): Uint8Array => {
  const pdu = encode(fastPathInput, { flags: 0, events });
  return Buffer.concat([Uint8Array.of(3, 3, events.length, 0), pdu.subarray(2)]);
};
const move = { kind: 'mouse', flags: 0, pointerFlags: 0x800, x: 3, y: 4 } as const;
const key = (keyCode: number) => ({ kind: 'scancode', flags: 0, keyCode }) as const;

test('CoreInput: keys are sealed and masked, a mouse that moves is not, and both are what a person did', () => {
  const rows: [Uint8Array, { sealed: boolean; counted: number }][] = [
    [Uint8Array.of(3, 1, 0, 0, 100, 0, 0, 0), { sealed: false, counted: 0 }],
    [coreInput(move), { sealed: false, counted: 1 }],
    [coreInput(move, key(0x1e)), { sealed: true, counted: 1 }],
    [coreInput({ kind: 'qoeTimestamp', flags: 0, timestamp: 1 }), { sealed: false, counted: 0 }],
    [Buffer.concat([coreInput(move), Uint8Array.of(1)]), { sealed: true, counted: 1 }],
    [Uint8Array.of(4, 3, 1, 0, 0, 0x1e), { sealed: true, counted: 1 }],
    [Uint8Array.of(3), { sealed: true, counted: 1 }],
  ];
  for (const [message, { sealed, counted }] of rows) {
    const session = withChannel('Microsoft::Windows::RDS::CoreInput');
    const before = session.relay.counters.inputs;
    session.send('client', data('client', 7, message), 9);
    assert.deepEqual(isSealed(session), [sealed], Buffer.from(message).toString('hex'));
    assert.equal(session.relay.counters.inputs - before, counted);
  }
  const masked = withChannel('Microsoft::Windows::RDS::CoreInput', 7, { input: 'masked', clipboard: 'full' });
  masked.send('client', data('client', 7, coreInput(key(0x1e), move, key(0x1f))));
  const [frame] = masked.frames();
  const expected = coreInput(key(0), move, key(0));
  assert.deepEqual(frame!.bytes.subarray(-expected.length), Buffer.from(expected));
  const none = withChannel('Microsoft::Windows::RDS::CoreInput', 7, { input: 'none', clipboard: 'full' });
  none.send('client', data('client', 7, coreInput(move)));
  assert.deepEqual(none.frames(), []);
});

test('CoreInput in pieces is sealed whole: a piece that looks like a mouse is none', () => {
  const session = withChannel('Microsoft::Windows::RDS::CoreInput');
  const message = Buffer.concat([coreInput(key(0x1e), key(0x1f)), coreInput(move)]);
  session.send(
    'client',
    dvc('client', Buffer.concat([Uint8Array.of(0x20, 7, message.length), message.subarray(0, 8)])),
  );
  session.send('client', data('client', 7, message.subarray(8)));
  assert.deepEqual(isSealed(session), [true, true]);
  // The next one is whole again.
  session.send('client', data('client', 7, coreInput(move)));
  assert.deepEqual(isSealed(session), [false]);
  // Compressed: what is in it can't be told.
  session.send('client', dvc('client', Buffer.concat([Uint8Array.of(0x70, 7), coreInput(move)])));
  assert.deepEqual(isSealed(session), [true]);
});

test('touch and pen are sealed, and counted when somebody touches', () => {
  const session = withChannel('Microsoft::Windows::RDS::Input');
  for (const [eventId, counted] of [
    [2, 0],
    [3, 1],
    [8, 1],
    [6, 0],
  ] as const) {
    const before = session.relay.counters.inputs;
    session.send('client', data('client', 7, new Writer().u16le(eventId).u32le(10).zeros(4).bytes()));
    assert.equal(session.relay.counters.inputs - before, counted);
  }
  assert.deepEqual(isSealed(session), [true, true, true, true]);
});

type Path = (session: RunningRelay) => void;
const typedOn =
  (name: string, from: RelaySide = 'client'): Path =>
  (session) => {
    session.send('server', create(9, name));
    session.send('client', created(9));
    const other = from === 'client' ? 'server' : 'client';
    for (const needle of needles) {
      session.send(from, data(from, 9, needle));
      session.send(from, dvc(from, Buffer.concat([Uint8Array.of(0x24, 9, 200, 0), needle])));
      session.send(from, data(from, 9, Buffer.concat([Buffer.alloc(200 - 2 * needle.length), needle])));
      session.send(from, dvc(from, Buffer.concat([Uint8Array.of(0x70, 9), needle])));
      session.send(from, data(from, 9, needle), 5);
    }
    session.send(other, data(other, 9, Uint8Array.of(1, 2)));
  };
const onStatic =
  (channelId: number): Path =>
  (session) => {
    for (const needle of needles)
      for (const from of ['client', 'server'] as const) session.send(from, dataOf(from, channelId, chunk(needle)), 6);
  };
/** Where something typed crosses. Fast-path and slow-path codes are told by their frames, since they are no text. */
const paths: Record<string, Path> = {
  'fast-path Unicode': (session) => {
    for (let at = 0; at < secretText.length; at += 7) {
      const events = [...secretText.slice(at, at + 7)].map(
        (c) => ({ kind: 'unicode', flags: 0, unicodeCode: c.charCodeAt(0) }) as const,
      );
      session.send('client', encode(fastPathInput, { flags: 1, events }));
    }
  },
  'an input PDU nobody can read': (session) => {
    const bytes = Buffer.concat([Uint8Array.of(4, 2 + 1 + secret16.length, 0xe0), secret16]);
    session.send('client', bytes);
  },
  'slow-path': (session) => {
    const events = [...secretText].map(
      (c) => ({ eventTime: 0, kind: 'unicode', keyboardFlags: 0, keyCode: c.charCodeAt(0), pad2Octets: 0 }) as const,
    );
    session.send(
      'client',
      dataOf('client', channels.io, wrapShareData(1, 1007, PduType2.input, slowPathInput, { pad2Octets: 0, events })),
      11,
    );
  },
  'a share PDU nobody knows': (session) => {
    session.send(
      'client',
      dataOf('client', channels.io, Buffer.concat([Uint8Array.of(6 + secret16.length, 0, 0x17, 0, 0, 0), secret16])),
    );
    session.send('client', dataOf('client', channels.io, secret16));
  },
  'slow-path with broken bytes behind it': (session) => {
    const events = [{ eventTime: 0, kind: 'unknown', messageType: 0x77, data: Buffer.from('hunter') } as const];
    const share = wrapShareData(1, 1007, PduType2.input, slowPathInput, { pad2Octets: 0, events });
    session.send('client', dataOf('client', channels.io, Buffer.concat([share, needles[0]!])));
  },
  // The length of the share PDU, read as flags of a security header, may be one that answers by itself.
  'few keys with a byte behind them': (session) => {
    for (const text of needles[0]!.toString('latin1').match(/.{1,2}/g)!)
      for (let more = 0; more < 4; more += 1) {
        const events = [...text].map(
          (c) =>
            ({ eventTime: 0, kind: 'unicode', keyboardFlags: 0, keyCode: c.charCodeAt(0), pad2Octets: 0 }) as const,
        );
        const share = wrapShareData(1, 1007, PduType2.input, slowPathInput, { pad2Octets: 0, events });
        session.send('client', dataOf('client', channels.io, Buffer.concat([share, new Uint8Array(more)])));
      }
  },
  'an MCS PDU nobody knows': (session) =>
    session.send('client', Buffer.concat([Uint8Array.of(3, 0, 0, 8 + secret16.length, 2, 0xf0, 0x80, 0x78), secret16])),
  'a channel nobody announced': (session) => session.send('client', dataOf('client', 1099, secret16)),
  'a dynamic channel nobody announced': (session) => session.send('client', data('client', 99, secret16)),
  CoreInput: typedOn('Microsoft::Windows::RDS::CoreInput'),
  'TextInput of the client': typedOn('TextInput_ClientToServerDVC'),
  'TextInput of the server': typedOn('TextInput_ServerToClientDVC', 'server'),
  WebAuthn: typedOn('WebAuthN_Channel'),
  'WebAuthn of the server': typedOn('WebAuthN_Channel', 'server'),
  AuthRedirection: typedOn('Microsoft::Windows::RDS::AuthRedirection'),
  'touch and pen': typedOn('Microsoft::Windows::RDS::Input'),
  'audio input': typedOn('AUDIO_INPUT'),
  camera: typedOn('RDCamera_Device_3'),
  location: typedOn('Microsoft::Windows::RDS::Location'),
  USB: typedOn('URBDRC'),
  'an unknown channel': typedOn('Contoso::Keyboard'),
  'a dynamic clipboard': typedOn('cliprdr'),
  clipboard: onStatic(channels.cliprdr),
  'drives and smart cards': onStatic(channels.rdpdr),
};

for (const input of ['full', 'masked', 'none'] as const)
  for (const [name, path] of Object.entries(paths))
    test(`${name}, input and clipboard ${input}: nothing typed is left to the key that opens pictures`, () => {
      const session = new RunningRelay({ keep: { input, clipboard: input } }).activated();
      session.frames();
      const before = session.tap.frames.length;
      path(session);
      const { frames } = session.tap;
      assert.equal(clearSecrets(session), 0);
      // One code for each key: no text to look for.
      const isKeys = /^(fast|slow)-path( Unicode)?$/.test(name);
      if (isKeys || name.startsWith('few keys'))
        for (const { flags } of frames.slice(before)) {
          assert.equal(flags & frameFlags.inputs, frameFlags.inputs);
          if (isKeys) assert.equal((flags & frameFlags.blanked) !== 0, input === 'masked');
        }
      if (input === 'full' || /drive|USB/.test(name)) return;
      // Not kept means not kept: not sealed either.
      for (const { bytes } of frames) for (const needle of needles) assert.equal(bytes.includes(needle), false);
    });

test('an id that is used again: what the client sent before its answer belongs to the old channel', () => {
  const session = withChannel('Microsoft::Windows::RDS::CoreInput');
  session.send('server', dvc('server', Uint8Array.of(0x40, 7)));
  session.send('server', create(7, 'Microsoft::Windows::RDS::Graphics'));
  session.frames();
  session.send('client', data('client', 7, coreInput(key(0x1e))));
  assert.deepEqual(isSealed(session), [true]);
  session.send('client', created(7));
  session.send('client', data('client', 7, Uint8Array.of(13, 0, 0, 0)));
  assert.deepEqual(isSealed(session), [false, false]);
  session.send('client', dvc('client', Uint8Array.of(0x40, 7)));
  session.send('client', data('client', 7, Uint8Array.of(1, 2, 3)));
  assert.deepEqual(isSealed(session), [false, true]);
});

test('an id that is used again by a request nobody could read has no name: what is typed into it is sealed', () => {
  const session = withChannel('Microsoft::Windows::RDS::Graphics');
  session.send('server', dvc('server', Uint8Array.of(0x40, 7)));
  const name = new Writer().u8(0x10).u8(7).latin1('Microsoft::Windows::RDS::CoreInput').u8(0).bytes();
  for (const compressed of [Buffer.from(name).fill(0xa5), name]) {
    session.send('server', dataOf('server', channels.drdynvc, chunk(compressed, FIRST | LAST | 0x200000, name.length)));
    session.send('client', created(7));
    session.frames();
    session.send('client', data('client', 7, secret16));
    assert.deepEqual(isSealed(session), [true]);
    session.send('server', create(7, 'Microsoft::Windows::RDS::Graphics'));
    session.send('client', created(7));
    session.frames();
    session.send('client', data('client', 7, Uint8Array.of(13, 0, 0, 0)));
    assert.deepEqual(isSealed(session), [false]);
  }
});

test('a channel the client refused is none', () => {
  const session = new RunningRelay().activated();
  session.send('server', create(7, 'Microsoft::Windows::RDS::Graphics'));
  session.send('client', created(7, 0xc0000001));
  session.frames();
  session.send('client', data('client', 7, secret16));
  assert.deepEqual(isSealed(session), [true]);
});

test('a Create Request in pieces names its channel; compressed, it names none and pictures stay open', () => {
  const name = new Writer().u8(0x11).u16le(300).latin1('Microsoft::Windows::RDS::MouseCursor').u8(0).bytes();
  const session = new RunningRelay().activated();
  for (let at = 0; at < name.length; at += 10) {
    const flags = (at === 0 ? FIRST : 0) | (at + 10 >= name.length ? LAST : 0);
    session.send(
      'server',
      dataOf('server', channels.drdynvc, chunk(name.subarray(at, at + 10), flags, name.length)),
      8,
    );
  }
  session.send('client', dvc('client', new Writer().u8(0x11).u16le(300).u32le(0).bytes()));
  assert.equal(session.relay.channels.get('Microsoft::Windows::RDS::MouseCursor'), 'pointer');
  session.frames();
  session.send('client', dvc('client', new Writer().u8(0x31).u16le(300).u32le(1).bytes()));
  assert.deepEqual(isSealed(session), [false]);
  const unseen = new RunningRelay().activated();
  unseen.send('server', dataOf('server', channels.drdynvc, chunk(name, FIRST | LAST | 0x200000)));
  unseen.frames();
  unseen.send('server', dvc('server', new Writer().u8(0x31).u16le(300).u32le(1).bytes()));
  unseen.send('client', dvc('client', new Writer().u8(0x31).u16le(300).u32le(1).bytes()));
  assert.deepEqual(isSealed(unseen), [false, true]);
});

test('a message over several chunks is recorded by the channel its first one names', () => {
  const session = withChannel('TextInput_ClientToServerDVC');
  const message = Buffer.concat([Uint8Array.of(0x30, 7), Buffer.alloc(40, 1), secret16]);
  for (let at = 0; at < message.length; at += 30)
    session.send(
      'client',
      dataOf(
        'client',
        channels.drdynvc,
        chunk(
          message.subarray(at, at + 30),
          (at === 0 ? FIRST : 0) | (at + 30 >= message.length ? LAST : 0),
          message.length,
        ),
      ),
    );
  assert.deepEqual(new Set(isSealed(session)), new Set([true]));
});

test('names are counted, and their number is bounded', () => {
  const session = new RunningRelay().activated();
  for (let i = 0; i < 600; i += 1) {
    session.send('server', create(i % 250, `name-${i}`));
    session.send('client', created(i % 250));
    session.send('client', data('client', i % 250, Uint8Array.of(1)));
  }
  assert.ok(session.relay.channels.size <= 256);
  assert.ok(session.relay.unknownChannels.size <= 257);
  assert.equal(
    [...session.relay.unknownChannels.values()].reduce((sum, count) => sum + count, 0),
    600,
  );
});

/** Of a PDU that begins or carries a message: [MS-RDPEDYC] 2.2.3. */
function dynamicIds(header: number, rest: Uint8Array): number[] {
  const idBytes = [1, 2, 4][header & 3];
  if (idBytes === undefined || rest.length < idBytes) return [];
  return [Buffer.from([...rest.subarray(0, idBytes), 0, 0, 0]).readUInt32LE(0)];
}

test('whatever runs through drdynvc is passed on, never a violation, and nothing of the client unknown is open', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          from: fc.constantFrom<RelaySide>('client', 'server'),
          header: fc.nat(255),
          rest: fc.uint8Array({ maxLength: 40 }),
          flags: fc.constantFrom(FIRST | LAST, FIRST, LAST, 0, FIRST | LAST | 0x200000),
          pieceBytes: fc.integer({ min: 1, max: 80 }),
        }),
        { minLength: 1, maxLength: 30 },
      ),
      fc.constantFrom<Keeping>('full', 'masked', 'none'),
      (sent, input) => {
        const session = new RunningRelay({ keep: { input, clipboard: input } }).activated();
        const said: Record<RelaySide, Buffer[]> = { client: [], server: [] };
        const passed: Record<RelaySide, Buffer[]> = { client: [], server: [] };
        // What may still become a message of the graphics pipeline waits until that is told: these chunks tell.
        const last = (header: number, ...rest: number[]) =>
          ({ from: 'client', header, rest: Uint8Array.from(rest), flags: FIRST | LAST, pieceBytes: 80 }) as const;
        // An id may run on into the chunks behind.
        const ids = new Set(
          sent.flatMap(({ from, header, rest }, at) => {
            const behind = sent.slice(at + 1).filter((other) => other.from === from);
            return dynamicIds(
              header,
              Buffer.concat([rest, ...behind.map((other) => Buffer.from([other.header, ...other.rest]))]),
            );
          }),
        );
        const closes = [...ids].map((id) => last(0x42, id & 255, (id >> 8) & 255, (id >> 16) & 255, id >>> 24));
        // A request of the server to open a channel waits for its last chunk, or for one that is none of it: this one.
        const ended = { ...last(0x50, 0, 0, 0), from: 'server' } as const;
        let held = false;
        for (const { from, header, rest, flags, pieceBytes } of [...sent, last(0x50, 0, 0, 0), ended, ...closes]) {
          const pdu = dataOf(from, channels.drdynvc, chunk(Buffer.concat([Uint8Array.of(header), rest]), flags));
          said[from].push(Buffer.from(pdu));
          passed[from].push(session.send(from, pdu, pieceBytes));
          held ||= passed[from].at(-1)!.length === 0;
        }
        // What the client compresses goes on uncompressed (`relay-negotiation.test.ts`).
        const isPlain = !sent.some(({ from, flags }) => from === 'client' && flags > (FIRST | LAST));
        for (const side of isPlain ? (['client', 'server'] as const) : []) {
          const [all, gone] = [Buffer.concat(passed[side]), Buffer.concat(said[side])];
          assert.equal(all.length, gone.length);
          // One channel's message does not wait for another's.
          if (held) for (const pdu of said[side]) assert.ok(all.includes(pdu));
          else assert.ok(all.equals(gone));
        }
        const times = session.tap.frames.map(({ timeUs }) => timeUs);
        assert.deepEqual(
          times,
          times.toSorted((a, b) => a - b),
        );
      },
    ),
    { numRuns: 200 },
  );
});
