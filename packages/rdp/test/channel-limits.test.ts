import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readCapture } from '@lucid-sessions/testkit';
import { DecodeError, decode, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { BulkDecompressor } from '../src/bulk/index.ts';
import * as rdp from '../src/index.ts';
import { capturesDirectory, hex } from './pdu-samples.ts';

/** An inspector past the connection sequence, with three static channels. */
function connected(hooks: Partial<Record<rdp.Sender, rdp.BulkHook>> = {}): rdp.StreamInspector {
  const inspector = new rdp.StreamInspector(hooks);
  const connector = new rdp.Connector({
    desktopWidth: 640,
    desktopHeight: 480,
    channels: [
      { name: 'cliprdr', options: 0 },
      { name: 'drdynvc', options: 0 },
    ],
  });
  const acceptor = new rdp.Acceptor({ protocols: rdp.Protocol.ssl });
  let { output } = connector.start();
  while (connector.state !== 'active') {
    inspector.push('client', output);
    const answer = acceptor.step(output).output;
    if (acceptor.state === 'tls') acceptor.tlsEstablished();
    inspector.push('server', answer);
    output = connector.step(answer).output;
    if (connector.state === 'tls') output = connector.tlsEstablished().output;
  }
  assert.equal(inspector.channelName(1004), 'cliprdr');
  assert.equal(inspector.channelName(1999), '');
  return inspector;
}

const io = (data: Uint8Array) => rdp.indicationFrame(1003, data);
const dynamic = (pdu: rdp.DynamicChannelPdu, flags = 3) =>
  rdp.indicationFrame(1005, encode(rdp.channelChunk, chunk(encode(rdp.dynamicChannelServerPdu, pdu), flags)));
const chunk = (data: Uint8Array, flags: number) => ({ length: data.length, flags, data });
const kinds = (events: rdp.InspectedEvent[]) => events.map((event) => event.kind);

test('PDUs before MCS are distinguished', () => {
  const inspector = new rdp.StreamInspector();
  const hello = encode(rdp.tsRequest, { version: 6 });
  assert.deepEqual(kinds(inspector.push('client', hello)), ['credssp']);
  const [result] = inspector.push('server', hex('05000000'));
  assert.ok(result?.kind === 'earlyUserAuthResult' && result.result === 5);
  assert.throws(() => inspector.push('client', hex('4745')), DecodeError);
});

test('redirection, flow, message channel and reset PDUs are named', () => {
  const inspector = connected();
  const packet = { flags: 0x400, sessionId: 1, redirFlags: 0, fields: {} };
  const body = { pad2Octets: 0, redirection: packet };
  const redirect = rdp.wrapShareControl(
    rdp.PduType.serverRedirection,
    rdp.SERVER_USER_ID,
    rdp.enhancedServerRedirection,
    body,
  );
  assert.deepEqual(kinds(inspector.push('server', io(redirect))), ['serverRedirection']);
  assert.deepEqual(kinds(inspector.push('server', io(hex('0080 0000 0000')))), ['flow']);
  assert.deepEqual(kinds(inspector.push('server', io(hex('0010 0000 0600 0100 0110')))), ['messageChannel']);
  const deactivate = rdp.wrapShareControl(rdp.PduType.deactivateAll, rdp.SERVER_USER_ID, rdp.deactivateAll, {});
  assert.deepEqual(kinds(inspector.push('server', io(deactivate))), ['deactivateAll']);
});

test('several share control PDUs in one MCS data all come out', () => {
  const inspector = connected();
  const one = rdp.wrapShareData(1, 1002, rdp.PduType2.statusInfo, rdp.statusInfo, { statusCode: 1 });
  assert.deepEqual(kinds(inspector.push('server', io(Buffer.concat([one, one])))), ['shareData', 'shareData']);
});

test('contents that don’t decode are malformed and inspection goes on', () => {
  const inspector = connected();
  for (const frame of [
    io(hex('0600 1f00 ea03')),
    io(hex('0100 0000')),
    rdp.indicationFrame(1999, hex('00000000 03000000')),
    hex('0006 21 0500 aa'),
    hex('0006 31 0100 aa'),
    dynamic({ kind: 'data', cbId: 3, sp: 0, channelId: 1, data: hex('') }),
  ])
    assert.deepEqual(kinds(inspector.push('server', frame)).at(-1), 'malformed', Buffer.from(frame).toString('hex'));
  const update = { updateCode: 5, fragmentation: 0, compression: 0, data: new Uint8Array(0) };
  const fine = encode(rdp.fastPathOutput, { flags: 0, reserved: 0, updates: [update] });
  assert.deepEqual(kinds(inspector.push('server', fine)), ['fastPathOutput', 'fastPathUpdate']);
});

function fastPath(updates: Partial<rdp.FastPathUpdate>[]): Uint8Array {
  const whole = updates.map((update) => ({
    updateCode: 1,
    fragmentation: 0,
    compression: 0,
    data: hex('aa'),
    ...update,
  }));
  return encode(rdp.fastPathOutput, { flags: 0, reserved: 0, updates: whole });
}

test('fragments are put together, each decompressed by itself', () => {
  const inspector = connected({ server: (data) => Buffer.concat([data, data]) });
  const compressed = { compression: 2, compressionFlags: 0x21 };
  const events = inspector.push(
    'server',
    fastPath([
      { fragmentation: rdp.Fragmentation.first, ...compressed },
      { fragmentation: rdp.Fragmentation.next },
      { fragmentation: rdp.Fragmentation.last, ...compressed },
    ]),
  );
  const updates = events.filter((event) => event.kind === 'fastPathUpdate');
  assert.equal(updates.length, 1);
  // The hook runs for uncompressed fragments too: flush flags must reach the history.
  assert.equal(Buffer.from(updates[0]!.data!).toString('hex'), 'aaaaaaaaaaaa');
});

test('what cannot be decompressed is null, never half of something', () => {
  const inspector = connected();
  const compressed = { compression: 2, compressionFlags: 0x21 };
  const lost = inspector.push(
    'server',
    fastPath([
      { fragmentation: rdp.Fragmentation.first },
      { fragmentation: rdp.Fragmentation.last, ...compressed },
      { ...compressed },
      { compression: 2, compressionFlags: 0x01 },
    ]),
  );
  const data = lost.flatMap((event) => (event.kind === 'fastPathUpdate' ? [event.data?.length ?? null] : []));
  assert.deepEqual(data, [null, null, 1]);
  const flags = rdp.ChannelFlag.packetCompressed | 1;
  const message = [
    rdp.indicationFrame(1004, encode(rdp.channelChunk, chunk(hex('aa'), flags))),
    rdp.indicationFrame(1004, encode(rdp.channelChunk, chunk(hex('bb'), 2))),
    rdp.indicationFrame(1004, encode(rdp.channelChunk, chunk(hex('cc'), 3))),
  ].flatMap((frame) => inspector.push('server', frame));
  const messages = message.flatMap((event) => (event.kind === 'channelMessage' ? [event.message?.[0] ?? null] : []));
  assert.deepEqual(messages, [null, 0xcc]);
});

test('hooks see channel compression; a hook that does not know the type leaves null', () => {
  const seen: number[] = [];
  const inspector = connected({
    server: (data, flags) => {
      seen.push(flags);
      if ((flags & 15) === 3) throw new DecodeError('unsupported', 'not this one');
      if ((flags & 15) === 2) throw new DecodeError('invalid', 'broken');
      return data;
    },
  });
  const send = (type: number, flag: number) => {
    const flags = (flag | (type << 16) | 3) >>> 0;
    return inspector.push('server', rdp.indicationFrame(1004, encode(rdp.channelChunk, chunk(hex('aa'), flags))));
  };
  const { packetCompressed, packetFlushed } = rdp.ChannelFlag;
  const last = (events: rdp.InspectedEvent[]) => events.at(-1);
  const good = last(send(1, packetCompressed));
  assert.ok(good?.kind === 'channelMessage' && good.message?.length === 1);
  const unknown = last(send(3, packetCompressed));
  assert.ok(unknown?.kind === 'channelMessage' && unknown.message === null);
  const flushed = last(send(3, packetFlushed));
  assert.ok(flushed?.kind === 'channelMessage' && flushed.message?.length === 1);
  assert.equal(last(send(2, packetCompressed))?.kind, 'malformed');
  assert.deepEqual(
    seen.filter((flags) => flags !== 0),
    [0x21, 0x23, 0x83, 0x22],
  );
});

test('dynamic channels: names, messages in pieces', () => {
  const inspector = connected();
  const head = { cbId: 0, sp: 0 } as const;
  inspector.push('server', dynamic({ kind: 'createRequest', ...head, channelId: 7, channelName: 'ECHO' }));
  const first = inspector.push(
    'server',
    dynamic({ kind: 'dataFirst', ...head, channelId: 7, length: 4, data: hex('0102') }),
  );
  assert.deepEqual(kinds(first).slice(-1), ['dynamicChannel']);
  const second = inspector.push('server', dynamic({ kind: 'data', ...head, channelId: 7, data: hex('0304') })).at(-1);
  assert.ok(second?.kind === 'dynamicMessage' && second.channelName === 'ECHO');
  assert.equal(Buffer.from(second.message!).toString('hex'), '01020304');
  const single = inspector.push('server', dynamic({ kind: 'data', ...head, channelId: 9, data: hex('05') })).at(-1);
  assert.ok(single?.kind === 'dynamicMessage' && single.channelName === null && single.message?.length === 1);
});

describe('compressed dynamic channel data, [MS-RDPEDYC] 2.2.3.3 and 2.2.3.4', () => {
  const head = { cbId: 0, sp: 1 } as const;
  const first = (channelId: number, length: number, data: string) =>
    dynamic({ kind: 'dataFirstCompressed', ...head, channelId, length, data: hex(data) });
  const next = (channelId: number, data: string) =>
    dynamic({ kind: 'dataCompressed', ...head, channelId, data: hex(data) });
  const messageOf = (inspector: rdp.StreamInspector, bytes: Uint8Array, sender: rdp.Sender = 'server') => {
    const last = inspector.push(sender, bytes).at(-1);
    return last?.kind === 'dynamicMessage' ? last.message : undefined;
  };
  const qs = (count: number) => Buffer.alloc(count, 'q');

  test('a message in two parts, the second a match into the first', () => {
    const inspector = connected();
    assert.equal(messageOf(inspector, first(7, 1595 + 1597, 'e02638c43ff47401')), undefined);
    assert.deepEqual(Buffer.from(messageOf(inspector, next(7, 'e026887fe8f402'))!), qs(1595 + 1597));
  });

  test('each channel and direction has a history of its own, which a snapshot holds', () => {
    const inspector = connected();
    messageOf(inspector, next(7, 'e02638c43ff47401'));
    assert.equal(messageOf(inspector, next(8, 'e026887fe8f402'))!.includes(0x71), false, 'nothing to match in another');
    const copy = new rdp.StreamInspector();
    copy.restore(structuredClone(inspector.snapshot()));
    for (const one of [inspector, copy])
      assert.deepEqual(Buffer.from(messageOf(one, next(7, 'e026887fe8f402'))!), qs(1597));
    // A channel opened anew begins with an empty history.
    inspector.push('server', dynamic({ kind: 'createRequest', cbId: 0, sp: 0, channelId: 7, channelName: 'ECHO' }));
    assert.equal(messageOf(inspector, next(7, 'e026887fe8f402'))!.includes(0x71), false);
  });

  test('what can not be undone is null, as is all behind it in that channel and direction', () => {
    const inspector = connected();
    assert.equal(messageOf(inspector, first(7, 500, 'e004')), undefined, 'the rest is to come');
    assert.equal(messageOf(inspector, next(7, 'e103')), null);
    assert.equal(messageOf(inspector, next(7, 'e02638c43ff47401')), null);
    const copy = new rdp.StreamInspector();
    copy.restore(structuredClone(inspector.snapshot()));
    assert.equal(messageOf(copy, next(7, 'e02638c43ff47401')), null);
    assert.deepEqual(Buffer.from(messageOf(inspector, next(8, 'e02638c43ff47401'))!), qs(1595));
  });
});

test('messages have a limit, static and dynamic, and too many channels too', () => {
  const reassembler = new rdp.ChannelReassembler(10);
  assert.equal(reassembler.push(1, new Uint8Array(8)), null);
  assert.throws(() => reassembler.push(0, new Uint8Array(8)), { code: 'limit' });
  assert.equal(reassembler.push(1, new Uint8Array(8)), null);
  assert.equal(reassembler.push(2, new Uint8Array(2))?.length, 10);
  const parts = new rdp.DynamicReassembler(100);
  assert.throws(() => parts.first(101, hex('00')), { code: 'limit' });
  assert.equal(parts.first(3, hex('0102')), null);
  assert.throws(() => parts.next(hex('0304')), { code: 'limit' });
  assert.equal(parts.next(hex('05'))?.length, 1);
  const inspector = connected();
  const create = (channelId: number) => dynamic({ kind: 'createRequest', cbId: 1, sp: 0, channelId, channelName: 'x' });
  for (let id = 0; id < rdp.DYNAMIC_CHANNELS_MAX; id += 1) inspector.push('server', create(id));
  const [, over] = inspector.push('server', create(5000));
  assert.equal(over, undefined);
  assert.deepEqual(kinds(inspector.push('server', create(5000))), ['malformed']);
  assert.deepEqual(kinds(inspector.push('server', create(5))).at(-1), 'dynamicChannel');
  const data = (channelId: number) => dynamic({ kind: 'data', cbId: 1, sp: 0, channelId, data: hex('00') });
  for (let id = 0; id < rdp.DYNAMIC_CHANNELS_MAX; id += 1) inspector.push('server', data(id));
  assert.deepEqual(kinds(inspector.push('server', data(6000))), ['malformed']);
});

test('a message cut into chunks comes back whole', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 50 }), (message, chunkBytes) => {
      const reassembler = new rdp.ChannelReassembler();
      const chunks = rdp.channelChunks(message, chunkBytes);
      const results = chunks.map((piece) => reassembler.push(piece.flags, piece.data));
      assert.equal(results.filter((result) => result !== null).length, 1);
      assert.deepEqual(Buffer.from(results.at(-1)!), Buffer.from(message));
      assert.ok(chunks.every((piece) => piece.length === message.length && piece.data.length <= chunkBytes));
    }),
  );
});

test('dynamic channel ids take the width they need', () => {
  assert.deepEqual([0xff, 0x100, 0xffff, 0x10000].map(rdp.widthCode), [0, 1, 1, 2]);
  const pdu: rdp.DynamicChannelPdu = { kind: 'data', cbId: 2, sp: 0, channelId: 0x12345678, data: hex('00') };
  assert.deepEqual(decode(rdp.dynamicChannelServerPdu, encode(rdp.dynamicChannelServerPdu, pdu)), {
    ...pdu,
    data: encode(rdp.dynamicChannelServerPdu, pdu).subarray(5),
  });
  assert.throws(() => decode(rdp.dynamicChannelServerPdu, hex('f0 00')), { code: 'unsupported' });
  assert.throws(() => decode(rdp.dynamicChannelServerPdu, hex(`10 07 ${'41'.repeat(2000)}`)), { code: 'invalid' });
});

test('a session with changed bytes gives events or a typed error, never anything else', () => {
  for (const name of ['xorg-clip-drive.rdpcap.gz', 'gnome-type-rfx-surfcmds.rdpcap.gz', 'shadow-bpp32.rdpcap.gz']) {
    const { records } = readCapture(new URL(name, capturesDirectory).pathname);
    fc.assert(
      fc.property(fc.array(fc.record({ at: fc.nat(60_000), value: fc.nat(255) }), { minLength: 1 }), (changes) => {
        const bulk = new BulkDecompressor();
        const inspector = new rdp.StreamInspector({ server: (data, flags) => bulk.decompress(data, flags) });
        let position = 0;
        try {
          for (const record of records) {
            const bytes = new Uint8Array(record.bytes);
            for (const { at, value } of changes)
              if (at >= position && at < position + bytes.length) bytes[at - position] = value;
            position += bytes.length;
            inspector.push(record.fromServer ? 'server' : 'client', bytes);
            if (position > 60_000) return;
          }
        } catch (error) {
          assert.ok(error instanceof DecodeError, String(error));
        }
      }),
      { numRuns: 40 },
    );
  }
});
