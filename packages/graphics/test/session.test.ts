import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  FastPathUpdateCode as code,
  demandActive,
  type FastPathUpdate,
  fastPathOutput,
  MCS_GLOBAL_CHANNEL_ID,
  mcsPdu,
  PduType,
  PduType2,
  shareControlPdu,
  shareDataPdu,
  tpkt,
  wrapShareControl,
  x224Data,
} from '@lucid-sessions/rdp';
import { type CaptureRecord, DynamicChannels, readCapture } from '@lucid-sessions/testkit';
import { encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { type H264Decoder, SessionDecoder } from '../src/index.ts';

const captures = fileURLToPath(new URL('../../../testkit/captures/', import.meta.url));
const hex = (digits: string) => Uint8Array.from(Buffer.from(digits.replace(/\s+/g, ''), 'hex'));
const records = (name: string) => readCapture(`${captures}${name}.rdpcap.gz`).records;

/** A decoder that has seen a real session's connection and nothing drawn yet. */
function connected(): SessionDecoder {
  const decoder = new SessionDecoder();
  const all = records('xorg-orders-bpp16');
  for (const record of all) {
    decoder.push(record);
    if (decoder.screen.takeDirty().length > 0 && decoder.screen.width > 0) break;
  }
  return decoder;
}

function fastPath(...updates: (Partial<FastPathUpdate> & { data: Uint8Array })[]): {
  fromServer: true;
  bytes: Uint8Array;
} {
  const whole = updates.map((update) => ({ updateCode: 0, fragmentation: 0, compression: 0, ...update }));
  return { fromServer: true, bytes: encode(fastPathOutput, { flags: 0, reserved: 0, updates: whole }) };
}

function slowPath(share: Uint8Array): { fromServer: true; bytes: Uint8Array } {
  const data = encode(mcsPdu, {
    kind: 'sendDataIndication',
    initiator: 1002,
    channelId: MCS_GLOBAL_CHANNEL_ID,
    priority: 0x70,
    data: share,
  });
  return { fromServer: true, bytes: encode(tpkt, { reserved: 0, payload: encode(x224Data, { payload: data }) }) };
}

function shareData(pduType2: number, data: Uint8Array, compressedType = 0): { fromServer: true; bytes: Uint8Array } {
  const sizes = { uncompressedLength: data.length, compressedLength: 0 };
  const header = { shareId: 1, pad1: 0, streamId: 1, pduType2, compressedType, ...sizes };
  const body = encode(shareDataPdu, { ...header, data });
  return slowPath(encode(shareControlPdu, { pduType: 0x10 | PduType.data, pduSource: 1002, body }));
}

/** TS_UPDATE_BITMAP_DATA of one raw pixel. */
const onePixel = (bitsPerPixel: string, pixel: string) =>
  hex(
    `0100 0100 0500 0600 0500 0600 0100 0100 ${bitsPerPixel}00 0000 ${(pixel.length / 2).toString(16).padStart(2, '0')}00 ${pixel}`,
  );

const at = (decoder: SessionDecoder, x: number, y: number) => decoder.screen.pixels.words[y * decoder.screen.width + x];
const counted = (decoder: SessionDecoder) => Object.fromEntries(decoder.screen.unsupported);

describe('updates on both paths', () => {
  test('bitmaps and palettes', () => {
    const decoder = connected();
    decoder.push(fastPath({ updateCode: code.bitmap, data: onePixel('20', '03020100') }));
    assert.equal(at(decoder, 5, 6), 0xff030201);
    decoder.push(fastPath({ updateCode: code.palette, data: hex('0200 0000 01000000 0a0b0c') }));
    decoder.push(fastPath({ updateCode: code.bitmap, data: onePixel('08', '00000000') }));
    assert.equal(at(decoder, 5, 6), 0xff0c0b0a);
    decoder.push(shareData(PduType2.update, hex('0200 0000 01000000 010203')));
    decoder.push(shareData(PduType2.update, onePixel('08', '00000000')));
    assert.equal(at(decoder, 5, 6), 0xff030201);
    decoder.push(shareData(PduType2.update, hex('0300 0000')));
    decoder.push(fastPath({ updateCode: code.synchronize, data: hex('') }));
    assert.deepEqual(counted(decoder), {});
  });

  test('orders', () => {
    const decoder = connected();
    const order = '090a7f 0000 0000 0100 0100 ff ff ff';
    decoder.push(fastPath({ updateCode: code.orders, data: hex(`0100 ${order}`) }));
    assert.equal(at(decoder, 0, 0), 0xffffffff);
    decoder.push(shareData(PduType2.update, hex(`0000 0000 0100 0000 ${order.replace('ff ff ff', '00 00 00')}`)));
    assert.equal(at(decoder, 0, 0), 0xff000000);
    assert.deepEqual(counted(decoder), {});
  });

  test('cached bitmaps of revision 3 in a codec the client announced', () => {
    const decoder = connected();
    const cache = (codecId: string) =>
      `03 1300 3000 08 0000 0000000000000000 20 00 00 ${codecId} 0100 0100 04000000 03020100`;
    const memBlt = '090d ff01 0000 0000 0000 0100 0100 cc 0000 0000 0000';
    decoder.push(fastPath({ updateCode: code.orders, data: hex(`0200 ${cache('00')} ${memBlt}`) }));
    assert.equal(at(decoder, 0, 0), 0xff030201);
    decoder.push(fastPath({ updateCode: code.orders, data: hex(`0100 ${cache('63')}`) }));
    assert.deepEqual(counted(decoder), { 'order.cache.unsupported': 1 });
  });

  test('fragments are put together', () => {
    const decoder = connected();
    const data = onePixel('20', '03020100');
    decoder.push(fastPath({ updateCode: code.bitmap, fragmentation: 2, data: data.subarray(0, 9) }));
    decoder.push(fastPath({ updateCode: code.bitmap, fragmentation: 3, data: data.subarray(9, 20) }));
    assert.notEqual(at(decoder, 5, 6), 0xff030201);
    decoder.push(fastPath({ updateCode: code.bitmap, fragmentation: 1, data: data.subarray(20) }));
    assert.equal(at(decoder, 5, 6), 0xff030201);
  });

  test('every pointer update, fast and slow', () => {
    const decoder = connected();
    const { pointer } = decoder.screen;
    const attribute = '0000 0100 0100 0100 0100 0200 0400 0a0b0c00 0000';
    decoder.push(fastPath({ updateCode: code.pointerNull, data: hex('') }));
    assert.equal(pointer.visible, false);
    decoder.push(fastPath({ updateCode: code.pointerDefault, data: hex('') }));
    assert.deepEqual([pointer.visible, pointer.shape], [true, null]);
    decoder.push(fastPath({ updateCode: code.pointerPosition, data: hex('0700 0800') }));
    assert.deepEqual([pointer.x, pointer.y], [7, 8]);
    decoder.push(fastPath({ updateCode: code.pointerColor, data: hex(attribute) }));
    assert.equal(pointer.shape?.pixels.words[0], 0xff0a0b0c);
    decoder.push(fastPath({ updateCode: code.pointerDefault, data: hex('') }));
    decoder.push(fastPath({ updateCode: code.pointerCached, data: hex('0000') }));
    assert.equal(pointer.shape?.pixels.words[0], 0xff0a0b0c);
    decoder.push(fastPath({ updateCode: code.pointerNew, data: hex(`1800 ${attribute.replace('0a0b0c', '010203')}`) }));
    assert.equal(pointer.shape?.pixels.words[0], 0xff010203);
    const large = '2000 0000 0000 0000 0100 0100 00000000 04000000 04050680';
    decoder.push(fastPath({ updateCode: code.pointerLarge, data: hex(large) }));
    assert.equal(pointer.shape?.pixels.words[0], 0x80040506);
    const slow = (type: string, data: string) => decoder.push(shareData(PduType2.pointer, hex(`${type} 0000 ${data}`)));
    slow('0100', '00000000');
    assert.equal(pointer.visible, false);
    slow('0300', '0900 0a00');
    assert.deepEqual([pointer.x, pointer.y], [9, 10]);
    slow('0600', attribute);
    slow('0800', `1800 ${attribute.replace('0a0b0c', '010203').replace('0000', '0100')}`);
    slow('0700', '0000');
    assert.equal(pointer.shape?.pixels.words[0], 0xff0a0b0c);
    slow('0900', large);
    assert.equal(pointer.shape?.pixels.words[0], 0x80040506);
    assert.deepEqual(counted(decoder), {});
    slow('0a00', '00');
    slow('0700', '6300');
    assert.deepEqual(counted(decoder), { 'pointer.unknown': 1, 'pointer.invalid': 1 });
  });

  test('the client’s mouse moves the pointer, its wheel does not', () => {
    const decoder = connected();
    const { pointer } = decoder.screen;
    decoder.push({ fromServer: false, bytes: hex('04 09 20 0008 6400 c800') });
    assert.deepEqual([pointer.x, pointer.y], [100, 200]);
    decoder.push({ fromServer: false, bytes: hex('04 09 20 7802 0000 0000') });
    assert.deepEqual([pointer.x, pointer.y], [100, 200]);
  });

  test('slow-path mouse input of rdesktop', () => {
    const decoder = new SessionDecoder();
    for (const record of records('xorg-rdesktop-drive')) decoder.push(record);
    assert.deepEqual(counted(decoder), {});
  });
});

describe('surface commands', () => {
  const bits = (codecId: string, data: string, command = '0100') =>
    hex(
      `${command} 0300 0400 0400 0500 20 00 00 ${codecId} 0100 0100 ${(data.length / 2).toString(16).padStart(2, '0')}000000 ${data}`,
    );
  const push = (decoder: SessionDecoder, data: Uint8Array) =>
    decoder.push(fastPath({ updateCode: code.surfaceCommands, data }));

  test('raw bits, with and without an extended header; frames are counted', () => {
    const decoder = connected();
    const framesBefore = decoder.screen.framesCount;
    push(decoder, bits('00', '03020100'));
    assert.equal(at(decoder, 3, 4), 0xff030201);
    const header = hex(`0600 0300 0400 0400 0500 20 01 00 00 0100 0100 04000000 ${'00'.repeat(24)} 06050400`);
    push(decoder, Uint8Array.of(...header, ...hex('0400 0100 01000000')));
    assert.equal(at(decoder, 3, 4), 0xff060504);
    assert.equal(decoder.screen.framesCount, framesBefore + 2, 'the first update without markers is one by itself');
    assert.deepEqual(counted(decoder), {});
  });

  test('updates between frame markers are one frame, without markers one each', () => {
    const decoder = connected();
    const before = decoder.screen.framesCount;
    push(decoder, hex('0400 0000 01000000'));
    push(decoder, bits('00', '03020100'));
    push(decoder, bits('00', '03020100'));
    push(decoder, hex('0400 0100 01000000'));
    assert.equal(decoder.screen.framesCount, before + 1);
    decoder.push(fastPath({ updateCode: code.bitmap, data: onePixel('20', '03020100') }));
    assert.equal(decoder.screen.framesCount, before + 2);
  });

  test('an update that would decode pictures for ever is given up', () => {
    const decoder = connected();
    const rectangle = `0000 0000 ff1d ff0f 001e 0010 1800 0104 0400 64 010203`;
    const data = hex(`0100 1000 ${rectangle.repeat(16)}`);
    decoder.push(fastPath({ updateCode: code.bitmap, data }));
    assert.ok((decoder.screen.unsupported.get('bitmap.rectangle.limit') ?? 0) >= 10);
  });

  test('an unknown codec, broken bits and an unknown command are counted; the rest goes on', () => {
    const decoder = connected();
    push(decoder, bits('63', '00'));
    push(decoder, Uint8Array.of(...bits('00', '0302'), ...bits('00', '03020100')));
    push(decoder, hex('0900'));
    assert.equal(at(decoder, 3, 4), 0xff030201);
    assert.deepEqual(counted(decoder), { 'surface.codec': 1, 'surface.raw.truncated': 1, 'surface.unsupported': 1 });
  });
});

describe('what can’t be drawn', () => {
  test('is counted by kind and leaves the rest alone', () => {
    const decoder = connected();
    decoder.push(fastPath({ updateCode: 14, data: hex('00') }));
    decoder.push(fastPath({ updateCode: code.bitmap, data: hex('0100 0100 00') }));
    decoder.push(fastPath({ updateCode: code.bitmap, data: onePixel('05', '00') }));
    decoder.push(fastPath({ updateCode: code.palette, data: hex('0200') }));
    decoder.push(fastPath({ updateCode: code.orders, data: hex('0100') }));
    decoder.push(fastPath({ updateCode: code.bitmap, compression: 2, compressionFlags: 0x25, data: hex('00') }));
    decoder.push(shareData(PduType2.update, hex('0900 00')));
    decoder.push(shareData(PduType2.update, hex('00'), 0x25));
    decoder.push(slowPath(hex('0000')));
    decoder.push(fastPath({ updateCode: code.bitmap, data: onePixel('20', '03020100') }));
    assert.equal(at(decoder, 5, 6), 0xff030201);
    assert.deepEqual(counted(decoder), {
      'update.unknown': 2,
      'bitmap.truncated': 1,
      'bitmap.rectangle.unsupported': 1,
      'palette.truncated': 1,
      'orders.truncated': 1,
      'update.compression': 2,
      'pdu.truncated': 1,
    });
  });

  test('a stream that can’t be framed is given up, the other direction goes on', () => {
    const decoder = connected();
    decoder.push({ fromServer: true, bytes: hex('01') });
    decoder.push({ fromServer: true, bytes: hex('01 02 03 04') });
    decoder.push(fastPath({ updateCode: code.bitmap, data: onePixel('20', '03020100') }));
    assert.notEqual(at(decoder, 5, 6), 0xff030201);
    decoder.push({ fromServer: false, bytes: hex('04 09 20 0008 6400 c800') });
    assert.equal(decoder.screen.pointer.x, 100);
    assert.deepEqual(counted(decoder), { 'stream.server.invalid': 1 });
  });

  test('a new share of another size clears the screen', () => {
    const decoder = connected();
    const bitmap = {
      kind: 'bitmap',
      preferredBitsPerPixel: 16,
      receive1BitPerPixel: 1,
      receive4BitsPerPixel: 1,
      receive8BitsPerPixel: 1,
      desktopWidth: 800,
      desktopHeight: 600,
      pad2octets: 0,
      desktopResizeFlag: 1,
      bitmapCompressionFlag: 1,
      highColorFlags: 0,
      drawingFlags: 0,
      multipleRectangleSupport: 1,
      pad2octetsB: 0,
    } as const;
    const demand = (desktopWidth: number) =>
      slowPath(
        wrapShareControl(PduType.demandActive, 1002, demandActive, {
          shareId: 2,
          sourceDescriptor: hex('00'),
          pad2Octets: 0,
          capabilitySets: [{ ...bitmap, desktopWidth }],
        }),
      );
    decoder.push(demand(800));
    assert.deepEqual([decoder.screen.width, decoder.screen.height], [800, 600]);
    decoder.push(demand(60000));
    assert.deepEqual(counted(decoder), { 'desktop.limit': 1 });
  });

  test('mutated sessions never stop the replay', () => {
    const all = records('xorg-orders-bpp16');
    const servers = all.filter((record) => record.fromServer).length;
    const mutation = fc.array(fc.tuple(fc.nat(servers - 1), fc.nat(), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 30,
    });
    fc.assert(
      fc.property(mutation, (list) => {
        const server = all.filter((record) => record.fromServer);
        const changed = new Map<CaptureRecord, Uint8Array>();
        for (const [which, place, change] of list) {
          const record = server[which]!;
          const bytes = changed.get(record) ?? record.bytes.slice();
          // TPKT headers stay: a stream that can't be framed ends, which is another test.
          if (bytes.length > 8) bytes[8 + (place % (bytes.length - 8))]! ^= change;
          changed.set(record, bytes);
        }
        const decoder = new SessionDecoder();
        for (const record of all)
          decoder.push({ fromServer: record.fromServer, bytes: changed.get(record) ?? record.bytes });
        assert.ok(decoder.screen.pixels.words.length <= 7680 * 4320);
      }),
      { numRuns: 40 },
    );
  });
});

describe('keyframes', () => {
  for (const name of ['xorg-orders-bpp16', 'xorg-default', 'shadow-bpp32', 'shadow-rfx', 'shadow-nsc-1080p'])
    test(`${name} goes on from a snapshot as without`, () => {
      const all = records(name);
      const whole = new SessionDecoder();
      const snapshots: { index: number; state: ReturnType<SessionDecoder['snapshot']> }[] = [];
      all.forEach((record, index) => {
        if (index % 37 === 36) snapshots.push({ index, state: structuredClone(whole.snapshot()) });
        whole.push(record);
      });
      assert.ok(snapshots.length >= 3);
      const again = new SessionDecoder();
      for (const { index, state } of snapshots) {
        assert.ok(state);
        again.restore(state);
        for (const record of all.slice(index)) again.push(record);
        assert.deepEqual(again.screen.pixels.words, whole.screen.pixels.words);
        assert.deepEqual(again.screen.pointer.shape, whole.screen.pointer.shape);
        assert.deepEqual(counted(again), counted(whole));
      }
    });
});

describe('a connection that continues the session', () => {
  for (const [first, second] of [
    ['xorg-orders-bpp16', 'gnome-type-gfx-default'],
    ['gnome-type-gfx-default', 'shadow-rfx'],
    ['shadow-nsc-1080p', 'xorg-default'],
  ] as const)
    test(`${second} after ${first} is drawn as alone, wherever the first broke off`, () => {
      const before = records(first);
      const alone = new SessionDecoder();
      for (const record of records(second)) alone.push(record);
      for (const cut of [before.length, Math.floor(before.length / 2), 12, 1]) {
        const both = new SessionDecoder();
        for (const record of before.slice(0, cut - 1)) both.push(record);
        const { bytes, ...last } = before[cut - 1]!;
        both.push({ ...last, bytes: bytes.slice(0, -1) });
        const errors = counted(both);
        // In the middle of it a keyframe is taken and gone back to.
        const all = records(second);
        for (const record of all.slice(0, 40)) both.push(record);
        const state = structuredClone(both.snapshot());
        for (const record of all.slice(40, 60)) both.push(record);
        if (state !== null) both.restore(state);
        for (const record of all.slice(state === null ? 60 : 40)) both.push(record);
        assert.deepEqual(both.screen.pixels.words, alone.screen.pixels.words, `cut at ${cut}`);
        assert.deepEqual(both.screen.pointer.shape, alone.screen.pointer.shape);
        assert.deepEqual(counted(both), { ...counted(alone), ...errors });
      }
    });

  test('only the gateway says that one begins: a peer that sends a connection request does not', () => {
    const all = records('xorg-default');
    const plain = new SessionDecoder();
    const disturbed = new SessionDecoder();
    all.forEach((record, index) => {
      plain.push(record);
      disturbed.push(record);
      if (index === 40) disturbed.push({ fromServer: false, bytes: all[0]!.bytes, beforeTls: false });
    });
    assert.deepEqual(disturbed.screen.pixels.words, plain.screen.pixels.words);
  });
});

describe('the graphics channel', () => {
  test('is replayed, and goes on from keyframes taken between its frames', () => {
    const all = records('gnome-type-gfx-default');
    const whole = new SessionDecoder();
    const snapshots: { index: number; state: NonNullable<ReturnType<SessionDecoder['snapshot']>> }[] = [];
    all.forEach((record, index) => {
      const state = index % 60 === 59 ? whole.snapshot() : null;
      if (state) snapshots.push({ index, state: structuredClone(state) });
      assert.equal(whole.push(record), undefined);
    });
    assert.deepEqual(counted(whole), {});
    assert.ok(whole.screen.framesCount > 100);
    assert.ok(snapshots.length >= 3, `${snapshots.length} keyframes`);
    const again = new SessionDecoder();
    for (const { index, state } of snapshots) {
      again.restore(state);
      for (const record of all.slice(index)) again.push(record);
      assert.deepEqual(again.screen.pixels.words, whole.screen.pixels.words);
      assert.equal(again.screen.framesCount, whole.screen.framesCount);
      assert.deepEqual(counted(again), {});
    }
  });

  test('H.264 without a decoder is counted', () => {
    const decoder = new SessionDecoder();
    for (const record of records('shadow-gfx-avc420')) assert.equal(decoder.push(record), undefined);
    const [[kind, count] = ['', 0], ...others] = [...decoder.screen.unsupported];
    assert.match(kind, /^gfx\./);
    assert.ok(count > 10);
    assert.deepEqual(others, []);
  });

  /** A decoder that answers later, with one gray picture of the size the capture has. */
  const gray = (): H264Decoder => ({
    decode: async () => {
      const plane = (length: number) => new Uint8Array(length).fill(128);
      return {
        width: 1024,
        height: 768,
        y: plane(1024 * 768),
        u: plane(512 * 384),
        v: plane(512 * 384),
        strideY: 1024,
        strideUv: 512,
      };
    },
    close: () => {},
  });

  test('pushes wait for a picture that comes later, in order', async () => {
    const decoder = new SessionDecoder({ createH264Decoder: gray });
    const waits = records('shadow-gfx-avc420').map((record) => decoder.push(record));
    assert.ok(decoder.snapshot() === null, 'not while a picture is waited for');
    await Promise.all(waits);
    assert.ok(waits.some((wait) => wait instanceof Promise));
    assert.deepEqual(counted(decoder), {});
    assert.equal(decoder.h264Failure, undefined);
    assert.ok(decoder.screen.framesCount > 10);
    // Its stream is short: a decoder can be given all of it since its IDR picture.
    const state = decoder.snapshot();
    assert.ok(state !== null && state.graphics.pipeline?.codecs.avc.length === 1);
    decoder.close();
    assert.ok(decoder.snapshot() !== null);
  });

  test('a decoder that fails is counted and its first failure kept', async () => {
    const failure = new Error('no such program');
    const later = (): H264Decoder => ({ decode: () => Promise.reject(failure), close: () => {} });
    const atOnce = (): H264Decoder => {
      throw failure;
    };
    for (const createH264Decoder of [later, atOnce]) {
      const decoder = new SessionDecoder({ createH264Decoder });
      for (const record of records('shadow-gfx-avc420')) await decoder.push(record);
      assert.equal(decoder.h264Failure, failure);
      assert.ok((decoder.screen.unsupported.get('gfx.h264.failed') ?? 0) > 10);
    }
  });
});

describe('pointer and mouse by dynamic channels', () => {
  const channels = new DynamicChannels(1007);
  const opened = (name: string): SessionDecoder => {
    const decoder = new SessionDecoder();
    for (const record of records('xorg-clip-drive').slice(0, 60)) decoder.push(record);
    for (const pdu of channels.open(3, name)) decoder.push(pdu);
    return decoder;
  };
  const send = (decoder: SessionDecoder, fromServer: boolean, message: string): void => {
    for (const pdu of channels.send(fromServer, 3, hex(message))) decoder.push(pdu);
  };

  test('[MS-RDPEMSC]: position, shape, cache, hidden; capabilities and nonsense change nothing', () => {
    const decoder = opened('Microsoft::Windows::RDS::MouseCursor');
    const { pointer } = decoder.screen;
    send(decoder, true, '02000000 43415053 01000000 0c000000');
    send(decoder, true, '03080000 7800 6400');
    assert.deepEqual([pointer.x, pointer.y], [120, 100]);
    send(decoder, true, '030b0000 1800 0000 0100 0200 0100 0100 0200 0400 0a0b0c00 0000');
    assert.deepEqual([pointer.shape?.hotspotX, pointer.shape?.hotspotY, pointer.visible], [1, 2, true]);
    send(decoder, true, '03050000');
    assert.equal(pointer.visible, false);
    send(decoder, true, '030a0000 0000');
    assert.equal(pointer.visible, true);
    send(decoder, true, '030a0000 0900');
    assert.deepEqual(counted(decoder), { 'pointer.invalid': 1 });
  });

  test('[MS-RDPECI]: the pointer follows the mouse, a relative one too', () => {
    const decoder = opened('Microsoft::Windows::RDS::CoreInput');
    send(decoder, false, '03010000 0001 0001 0000000000000000');
    send(decoder, false, '03030100 20 0008 1000 2000');
    send(decoder, false, '03030100 a0 0008 0500 feff');
    assert.deepEqual([decoder.screen.pointer.x, decoder.screen.pointer.y], [21, 30]);
    send(decoder, false, '03030100 a0 0008 0080 0080');
    assert.deepEqual([decoder.screen.pointer.x, decoder.screen.pointer.y], [0, 0]);
  });

  test('[MS-RDPEI]: it stands where a finger is', () => {
    const decoder = opened('Microsoft::Windows::RDS::Input');
    send(decoder, false, '0300 12000000 05 01 01 00 00 00 4064 4032 18 00');
    assert.deepEqual([decoder.screen.pointer.x, decoder.screen.pointer.y], [100, 50]);
    send(decoder, false, '0300 ff000000 05');
    assert.deepEqual(counted(decoder), { 'input.invalid': 1 });
  });
});
