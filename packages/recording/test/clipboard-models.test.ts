import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import {
  ClipboardGeneralFlag,
  ClipboardType,
  clipboardCapabilities,
  clipboardMessage,
  FILE_DESCRIPTOR_BYTES,
  FileDescriptorFlag,
  fileContentsRequest,
  fileList,
  longFormatNames,
  shortFormatNames,
} from '@lucid-sessions/rdp';
import { encode, Writer } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { ClipboardWatch } from '../src/session-index/clipboard-watch.ts';
import type { Happening, KeepPolicy, Side } from '../src/session-index/events.ts';

type Of<K extends Happening['kind']> = Extract<Happening, { kind: K }>;
const u32 = (...values: number[]): Uint8Array => {
  const writer = new Writer();
  for (const value of values) writer.u32le(value);
  return writer.bytes();
};
const utf16z = (text: string): Uint8Array => new Writer().utf16le(text).u16le(0).bytes();
const join = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const FILES = 0xc0bc;

/** The server offers, the client fetches; the state is saved and restored between any two messages. */
class Channel {
  readonly events: Happening[] = [];
  readonly policy: KeepPolicy;
  #id = 0;
  #watch: ClipboardWatch;

  constructor(policy: KeepPolicy = 'full') {
    this.policy = policy;
    this.#watch = this.#make();
  }

  #make(): ClipboardWatch {
    return new ClipboardWatch(
      this.policy,
      (_, happening) => void this.events.push(happening),
      () => ++this.#id,
    );
  }

  send(sender: Side, msgType: number, data: Uint8Array, msgFlags = 1): void {
    const next = this.#make();
    next.restore(structuredClone(this.#watch.snapshot()));
    this.#watch = next;
    this.#watch.push(1, sender, encode(clipboardMessage, { msgType, msgFlags, dataLen: data.length, data }));
  }

  caps(longNames: boolean): void {
    const generalFlags = longNames ? ClipboardGeneralFlag.useLongFormatNames : 0;
    const set = { cCapabilitiesSets: 1, pad1: 0, capabilitySetType: 1, lengthCapability: 12, version: 2, generalFlags };
    for (const side of ['server', 'client'] as const)
      this.send(side, ClipboardType.clipCaps, encode(clipboardCapabilities, set));
  }

  offer(...formats: [number, string][]): void {
    const list = formats.map(([formatId, formatName]) => ({ formatId, formatName }));
    this.send('server', ClipboardType.formatList, encode(longFormatNames, list), 0);
  }

  ask(formatId: number): void {
    this.send('client', ClipboardType.formatDataRequest, u32(formatId), 0);
  }

  answer(data: Uint8Array, ok = true): void {
    this.send('server', ClipboardType.formatDataResponse, data, ok ? 1 : 2);
  }

  list(files: [string, bigint | null][]): void {
    this.answer(descriptors(files));
  }

  askRange(streamId: number, index: number, offset: number, length: number, lock?: number): void {
    const position = { nPositionLow: offset % 2 ** 32, nPositionHigh: Math.floor(offset / 2 ** 32) };
    const request = { streamId, lindex: index, dwFlags: 2, ...position, cbRequested: length };
    const tail = lock === undefined ? {} : { clipDataId: lock };
    this.send('client', ClipboardType.fileContentsRequest, encode(fileContentsRequest, { ...request, ...tail }), 0);
  }

  askSize(streamId: number, index: number): void {
    const request = { streamId, lindex: index, dwFlags: 1, nPositionLow: 0, nPositionHigh: 0, cbRequested: 8 };
    this.send('client', ClipboardType.fileContentsRequest, encode(fileContentsRequest, request), 0);
  }

  give(streamId: number, data: Uint8Array, ok = true): void {
    this.send('server', ClipboardType.fileContentsResponse, join(u32(streamId), data), ok ? 1 : 2);
  }

  lock(id: number): void {
    this.send('client', ClipboardType.lockClipdata, u32(id), 0);
  }

  unlock(id: number): void {
    this.send('client', ClipboardType.unlockClipdata, u32(id), 0);
  }

  end(): this {
    this.#watch.end();
    return this;
  }

  of<K extends Happening['kind']>(kind: K): Of<K>[] {
    return this.events.filter((event): event is Of<K> => event.kind === kind);
  }
}

function descriptors(files: [string, bigint | null][]): Uint8Array {
  return encode(fileList, {
    files: files.map(([text, size]) => ({
      flags: size === null ? FileDescriptorFlag.attributes : FileDescriptorFlag.fileSize,
      reserved1: new Uint8Array(32),
      fileAttributes: 0x20,
      reserved2: new Uint8Array(16),
      lastWriteTime: 0n,
      fileSizeHigh: Number((size ?? 0n) >> 32n),
      fileSizeLow: Number((size ?? 0n) & 0xffff_ffffn),
      fileName: { text },
    })),
  });
}

/** Files copied one after the other, each fetched in pieces, with the answers in any order and other copies in between. */
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('ask' as const), list: fc.nat(3), file: fc.nat(1), piece: fc.nat(3) }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('give' as const), which: fc.nat(20), ok: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('offer' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('unlock' as const), list: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('text' as const) }) },
);
/** Most of them fetch a last file to its end: what is fetched whole by luck is too little to count on. */
const lastOrder = fc.option(fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 }));

test('whatever is interleaved, a copied file has its own name, size and hash, or none', () => {
  let whole = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 60, maxLength: 160 }), fc.boolean(), lastOrder, (steps, locking, last) => {
      const channel = new Channel();
      const contents = new Map<string, Uint8Array>();
      const lists: { names: string[]; locked: boolean }[] = [];
      const waiting: { stream: number; bytes: Uint8Array }[] = [];
      let stream = 0;
      const offer = (): void => {
        const names = [0, 1].map((i) => `list ${lists.length} file ${i}`);
        for (const [i, name] of names.entries())
          contents.set(
            name,
            Uint8Array.from({ length: 10 + i }, (_, at) => lists.length * 16 + i * 50 + at),
          );
        channel.offer([FILES, 'FileGroupDescriptorW']);
        if (locking) channel.lock(lists.length);
        channel.ask(FILES);
        channel.list(names.map((name) => [name, BigInt(contents.get(name)!.length)]));
        lists.push({ names, locked: locking });
      };
      const ask = (at: number, file: number, place: number): void => {
        if (lists[at] === undefined || (locking && !lists[at].locked)) return;
        const piece = contents.get(lists[at].names[file]!)!.subarray(3 * place, 4 * place + 4);
        channel.askRange(++stream, file, 3 * place, piece.length, locking ? at : undefined);
        waiting.push({ stream, bytes: piece });
      };
      const give = (which: number, ok: boolean): void => {
        const [next] = waiting.splice(which, 1);
        channel.give(next!.stream, next!.bytes, ok || next!.stream % 3 !== 0);
      };
      offer();
      for (const one of steps) {
        if (one.do === 'offer' && lists.length < 6) offer();
        if (one.do === 'text') {
          channel.ask(FILES);
          channel.answer(new Uint8Array(0), false);
        }
        if (one.do === 'unlock' && one.list < lists.length && lists[one.list]!.locked) {
          channel.unlock(one.list);
          lists[one.list]!.locked = false;
        }
        if (one.do === 'ask') ask(locking ? one.list : lists.length - 1, one.file, one.piece);
        if (one.do === 'give' && waiting.length > 0) give(one.which % waiting.length, one.ok);
      }
      if (last !== null) {
        offer();
        const before = waiting.length;
        for (const place of last) ask(lists.length - 1, 0, place);
        while (waiting.length > before) give(before, true);
      }
      for (const { name, bytes, size, sha256: hash } of channel.end().of('clipboard_file')) {
        const content = contents.get(name!);
        assert.ok(content, `no file ${name}`);
        assert.equal(size, content.length);
        assert.ok(bytes! <= content.length);
        assert.equal(hash, bytes === content.length ? sha256(content) : null);
        if (hash !== null) whole += 1;
      }
    }),
    { numRuns: 150 },
  );
  assert.ok(whole > 20, `${whole} whole files`);
});

const started = (...files: [string, bigint | null][]): Channel => {
  const channel = new Channel();
  channel.offer([FILES, 'FileGroupDescriptorW']);
  channel.ask(FILES);
  channel.list(files);
  return channel;
};
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

test('a size that is not told is not known, until the owner says it', () => {
  const channel = started(['a', null], ['b', null], ['c', null]);
  for (const index of [0, 1, 2]) {
    if (index === 1) {
      channel.askSize(9, 1);
      channel.give(9, new Writer().u64le(10n).bytes());
    }
    channel.askRange(1, index, 0, 5);
    channel.give(1, text('hello'));
    channel.askRange(1, index, 5, 5);
    channel.give(1, text('world'));
  }
  // Nothing where more was asked for: there the file ends.
  channel.askRange(1, 2, 10, 5);
  channel.give(1, new Uint8Array(0));
  assert.deepEqual(
    channel.of('clipboard_files')[0]?.files?.map(({ bytes }) => bytes),
    [null, null, null],
  );
  const hash = sha256(text('helloworld'));
  assert.deepEqual(
    channel
      .end()
      .of('clipboard_file')
      .map(({ name, bytes, size, sha256: found }) => [name, bytes, size, found]),
    [
      ['b', 10, 10, hash],
      ['c', 10, 10, hash],
      ['a', 10, null, null],
    ],
  );
});

test('files above 4 GB have their places, and sizes no number can hold are unknown', () => {
  const channel = started(['big', 5_000_000_010n], ['absurd', (1n << 60n) + 1n]);
  assert.deepEqual(
    channel.of('clipboard_files')[0]?.files?.map(({ bytes }) => bytes),
    [5_000_000_010, null],
  );
  channel.askRange(1, 0, 5_000_000_000, 10);
  channel.give(1, text('0123456789'));
  assert.deepEqual(
    channel
      .end()
      .of('clipboard_file')
      .map(({ bytes, size, sha256: hash }) => [bytes, size, hash]),
    [[10, 5_000_000_010, null]],
  );
});

test('two files under one stream id are no certain ones, one after the other they are', () => {
  const channel = started(['a', 5n], ['b', 5n]);
  channel.askRange(1, 0, 0, 5);
  channel.askRange(1, 1, 0, 5);
  channel.give(1, text('first'));
  channel.give(1, text('other'));
  channel.askRange(1, 0, 0, 5);
  channel.give(1, text('first'));
  const hashes = channel
    .end()
    .of('clipboard_file')
    .map(({ sha256: hash }) => hash);
  assert.deepEqual(hashes, [null, null, sha256(text('first'))]);
});

test('a refused range, one longer than was asked for, and one that changed leave no hash', () => {
  const cases: ((channel: Channel) => void)[] = [
    (channel) => channel.give(2, new Uint8Array(0), false),
    (channel) => channel.give(2, text('world and more')),
    (channel) => {
      channel.give(2, text('world'));
      channel.askRange(3, 0, 0, 5);
      channel.give(3, text('HELLO'));
      channel.askRange(3, 0, 10, 1);
      channel.give(3, text('!'));
    },
  ];
  for (const meanwhile of cases) {
    const channel = started(['a', 11n]);
    channel.askRange(1, 0, 0, 5);
    channel.give(1, text('hello'));
    channel.askRange(2, 0, 5, 5);
    meanwhile(channel);
    assert.deepEqual(
      channel
        .end()
        .of('clipboard_file')
        .map(({ sha256: hash }) => hash),
      [null],
    );
  }
});

test('a list of short names is understood, wide or ASCII, said or not', () => {
  const name = (value: string, wide: boolean): Uint8Array => {
    const bytes = wide ? new Writer().utf16le(value.slice(0, 15)).bytes() : text(value);
    return join(bytes, new Uint8Array(32 - bytes.length));
  };
  for (const [wide, flags] of [
    [true, 0],
    [false, 4],
    [false, 0],
  ] as const)
    for (const announced of [null, true, false]) {
      const channel = new Channel();
      if (announced !== null) channel.caps(announced);
      const list = [13, FILES, 0xc0aa].map((formatId, i) => ({
        formatId,
        formatName: name(['', 'FileGroupDescriptorW', 'HTML Format'][i]!, wide),
      }));
      channel.send('server', ClipboardType.formatList, encode(shortFormatNames, list), flags);
      channel.ask(FILES);
      channel.list([['x', 1n]]);
      assert.equal(channel.of('clipboard_files').length, 1, `${wide} ${flags} ${announced}`);
    }
});

test('bytes behind the last long name hurt nothing, nor does a name without end', () => {
  const list = encode(longFormatNames, [{ formatId: FILES, formatName: 'FileGroupDescriptorW' }]);
  for (const bytes of [
    list,
    join(list, new Uint8Array(2)),
    join(list, new Uint8Array(7)),
    join(list, u32(0xc0c0)),
    join(list, u32(0xc0c0), text('ab')),
    list.subarray(0, list.length - 2),
  ])
    for (const announced of [null, true]) {
      const channel = new Channel();
      if (announced !== null) channel.caps(announced);
      channel.send('server', ClipboardType.formatList, bytes);
      channel.ask(FILES);
      channel.list([['x', 1n]]);
      assert.equal(channel.of('clipboard_files').length, 1, Buffer.from(bytes).toString('hex'));
    }
});

test('pictures and HTML alone are told too', () => {
  const html = text('Version:0.9\r\nStartHTML:0\r\n<html><!--StartFragment--><b>hi</b><!--EndFragment--></html>\0');
  const channel = new Channel();
  channel.offer([8, ''], [0xc0aa, 'HTML Format'], [0xc0ab, 'Preferred DropEffect'], [0xc0ac, 'Mystery']);
  for (const formatId of [8, 0xc0aa, 0xc0ab, 0xc0ac, 16]) {
    channel.ask(formatId);
    channel.answer(formatId === 0xc0aa ? html : text('12345'));
  }
  assert.deepEqual(
    channel.of('clipboard_data').map(({ format, bytes, text: read, sha256: hash }) => [format, bytes, read, hash]),
    [
      ['CF_DIB', 5, null, sha256(text('12345'))],
      ['HTML Format', html.length, '<b>hi</b>', sha256(html)],
      ['Mystery', 5, null, sha256(text('12345'))],
    ],
  );
  for (const policy of ['masked', 'none'] as const) {
    const kept = new Channel(policy);
    kept.offer([8, '']);
    kept.ask(8);
    kept.answer(text('12345'));
    assert.deepEqual(
      kept.of('clipboard_data').map(({ bytes, sha256: hash }) => [bytes, hash]),
      policy === 'masked' ? [[5, null]] : [],
    );
  }
});

test('answers come in the order of the requests, also behind new lists and refusals, and above what is kept', () => {
  const channel = new Channel();
  channel.offer([13, '']);
  channel.ask(13);
  channel.ask(0xc0aa);
  channel.offer([13, ''], [1, '']);
  channel.ask(13);
  channel.answer(new Uint8Array(0), false);
  channel.answer(text('no text'));
  channel.answer(utf16z('a text'));
  assert.deepEqual(
    channel.of('clipboard_text').map((event) => event.text),
    ['a text'],
  );
  for (let i = 0; i < 300; i += 1) channel.ask(i === 299 ? 13 : 0xc0aa);
  for (let i = 0; i < 299; i += 1) channel.answer(text('x'));
  channel.answer(utf16z('which it was for is not known'));
  channel.ask(13);
  channel.answer(utf16z('known again'));
  assert.deepEqual(
    channel.of('clipboard_text').map((event) => event.text),
    ['a text', 'known again'],
  );
});

test('a list that ends early names what is there; ids never locked and locks never seen name nothing wrong', () => {
  const channel = started(['a', 5n]);
  channel.ask(FILES);
  channel.answer(join(u32(9), descriptors([['b', 1n]]).subarray(4, 4 + FILE_DESCRIPTOR_BYTES)));
  assert.deepEqual(
    channel.of('clipboard_files').map(({ files }) => files?.map(({ name }) => name)),
    [['a'], ['b']],
  );
  channel.askRange(1, 0, 0, 1, 77);
  channel.give(1, text('x'));
  channel.lock(5);
  channel.unlock(5);
  channel.askRange(1, 0, 0, 1, 5);
  channel.give(1, text('y'));
  assert.deepEqual(
    channel
      .end()
      .of('clipboard_file')
      .map(({ name, size, sha256: hash }) => [name, size, hash]),
    [
      ['b', 1, sha256(text('x'))],
      [null, null, null],
    ],
  );
});
