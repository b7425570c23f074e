import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import {
  CreateDisposition,
  DeviceComponent,
  DeviceMajorFunction,
  DevicePacketId,
  DeviceType,
  deviceCreateRequest,
  deviceIoCompletion,
  deviceIoRequest,
  deviceListAnnounce,
  deviceListRemove,
  deviceMessage,
  FileInformationClass,
  fileRenameInformation,
  printerDeviceData,
} from '@lucid-sessions/rdp';
import { encode, Writer } from '@lucid-sessions/wire';
import fc from 'fast-check';
import type { ContentPiece } from '../src/session-index/contents.ts';
import { DriveWatch } from '../src/session-index/drive-watch.ts';
import type { Happening } from '../src/session-index/events.ts';

type Of<K extends Happening['kind']> = Extract<Happening, { kind: K }>;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const utf16z = (value: string): Uint8Array => new Writer().utf16le(value).u16le(0).bytes();
const no: Uint8Array = new Uint8Array(0);
const READ = 1;
const WRITE = 2;

/** A client that lends devices, and a server that uses them; the state is saved and restored between any two messages. */
class Channel {
  readonly events: Happening[] = [];
  readonly pieces: ContentPiece[] = [];
  putsAside = true;
  #id = 0;
  #completion = 0;
  #watch = this.#make();

  #make(): DriveWatch {
    return new DriveWatch(
      (_, happening) => void this.events.push(happening),
      () => ++this.#id,
      (piece) => void this.pieces.push(piece),
    );
  }

  send(sender: 'client' | 'server', packetId: number, data: Uint8Array): void {
    if (this.putsAside) {
      const next = this.#make();
      next.restore(structuredClone(this.#watch.snapshot()));
      this.#watch = next;
    }
    this.#watch.push(1, sender, encode(deviceMessage, { component: DeviceComponent.core, packetId, data }));
  }

  lend(deviceType: number, deviceId: number, name: string, deviceData = no): this {
    const device = { deviceType, deviceId, preferredDosName: { text: name }, deviceData };
    this.send('client', DevicePacketId.deviceListAnnounce, encode(deviceListAnnounce, { devices: [device] }));
    return this;
  }

  takeAway(...deviceIds: number[]): void {
    this.send('client', DevicePacketId.deviceListRemove, encode(deviceListRemove, { deviceIds }));
  }

  ask(deviceId: number, fileId: number, majorFunction: number, data: Uint8Array, completionId = ++this.#completion) {
    const request = { deviceId, fileId, completionId, majorFunction, minorFunction: 0, data };
    this.send('server', DevicePacketId.deviceIoRequest, encode(deviceIoRequest, request));
    return (answer: Uint8Array, ioStatus = 0): void => {
      const completion = { deviceId, completionId, ioStatus, data: answer };
      this.send('client', DevicePacketId.deviceIoCompletion, encode(deviceIoCompletion, completion));
    };
  }

  open(
    fileId: number,
    path: string,
    { deviceId = 1, access = READ, disposition = CreateDisposition.open as number, options = 0 } = {},
  ): void {
    const request = {
      desiredAccess: access,
      allocationSize: 0n,
      fileAttributes: 0,
      sharedAccess: 7,
      createDisposition: disposition,
      createOptions: options,
      path: utf16z(path),
    };
    const answer = this.ask(deviceId, 0, DeviceMajorFunction.create, encode(deviceCreateRequest, request));
    answer(new Writer().u32le(fileId).u8(0).bytes());
  }

  askRead(fileId: number, offset: number, length: number, deviceId = 1) {
    const request = new Writer().u32le(length).u64le(BigInt(offset)).zeros(20).bytes();
    const answer = this.ask(deviceId, fileId, DeviceMajorFunction.read, request);
    return (bytes: Uint8Array, status = 0): void =>
      answer(new Writer().u32le(bytes.length).slice(bytes).bytes(), status);
  }

  askWrite(fileId: number, offset: number | bigint, bytes: Uint8Array, deviceId = 1, completionId?: number) {
    const place = new Writer().u32le(bytes.length).u64le(BigInt.asUintN(64, BigInt(offset)));
    const request = place.zeros(20).slice(bytes).bytes();
    const answer = this.ask(deviceId, fileId, DeviceMajorFunction.write, request, completionId);
    return (written = bytes.length, status = 0): void => answer(new Writer().u32le(written).u8(0).bytes(), status);
  }

  size(fileId: number, size: number): void {
    const answer = this.ask(1, fileId, DeviceMajorFunction.queryInformation, new Writer().u32le(5).zeros(28).bytes());
    const standard = new Writer().u64le(BigInt(size)).u64le(BigInt(size)).u32le(1).u8(0).u8(0).bytes();
    answer(new Writer().u32le(standard.length).slice(standard).bytes());
  }

  set(fileId: number, fsInformationClass: number, buffer: Uint8Array, status = 0): void {
    const request = new Writer().u32le(fsInformationClass).u32le(buffer.length).zeros(24).slice(buffer).bytes();
    this.ask(1, fileId, DeviceMajorFunction.setInformation, request)(new Writer().u32le(buffer.length).bytes(), status);
  }

  close(fileId: number, deviceId = 1): void {
    this.ask(deviceId, fileId, DeviceMajorFunction.close, new Uint8Array(32))(new Uint8Array(5));
  }

  end(): this {
    this.#watch.end(1);
    return this;
  }

  of<K extends Happening['kind']>(kind: K): Of<K>[] {
    return this.events.filter((event): event is Of<K> => event.kind === kind);
  }
}

const lent = (): Channel => new Channel().lend(DeviceType.filesystem, 1, 'C:');

/** Two files under ids that are used again, read and written with answers in any order. */
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('ask' as const), file: fc.nat(1), piece: fc.nat(4) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('give' as const), which: fc.nat(9), short: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reopen' as const), file: fc.nat(1), writes: fc.boolean() }) },
);
/** Most of them end with a file that is read or written whole: what is whole by luck is too little to count on. */
const last = fc.option(fc.record({ file: fc.nat(1), writes: fc.boolean() }));

test('whatever is interleaved, a file of a drive has its own name, size and hash, or none', () => {
  let whole = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 40, maxLength: 160 }), last, (steps, end) => {
      const channel = lent();
      const contents = new Map<string, Uint8Array>();
      const opened: ({ path: string; writes: boolean } | null)[] = [null, null];
      const waiting: ((short: boolean) => void)[] = [];
      let count = 0;
      const reopen = (file: number, writes: boolean): void => {
        if (opened[file]) channel.close(file);
        // What was asked of the old one is answered behind its close, or never.
        const path = `\\file ${++count}`;
        const size = 20 + count;
        contents.set(path, writes ? new Uint8Array(0) : Uint8Array.from({ length: size }, (_, i) => count * 7 + i));
        channel.open(file, path, writes ? { access: WRITE, disposition: CreateDisposition.overwriteIf } : {});
        if (!writes && count % 2 === 0) channel.size(file, size);
        opened[file] = { path, writes };
      };
      const ask = (file: number, piece: number): void => {
        const { path, writes } = opened[file]!;
        const at = 5 * piece;
        if (!writes) {
          const answer = channel.askRead(file, at, 7);
          const bytes = contents.get(path)!.subarray(at, at + 7);
          waiting.push(() => answer(bytes));
          return;
        }
        const bytes = Uint8Array.from({ length: 6 }, () => (count * 31 + at * 5 + steps.length) & 255);
        const answer = channel.askWrite(file, at, bytes);
        waiting.push((short) => {
          const written = short ? 3 : 6;
          answer(written);
          const before = contents.get(path)!;
          const longer = new Uint8Array(Math.max(before.length, at + written));
          longer.set(before);
          longer.set(bytes.subarray(0, written), at);
          if (opened[file]!.path === path) contents.set(path, longer);
        });
      };
      const give = (which: number, short: boolean): void => {
        const [next] = waiting.splice(which, 1);
        next!(short);
      };
      reopen(0, false);
      reopen(1, true);
      for (const one of steps) {
        if (one.do === 'reopen') reopen(one.file, one.writes);
        if (one.do === 'ask') ask(one.file, one.piece);
        if (one.do === 'give' && waiting.length > 0) give(one.which % waiting.length, one.short);
      }
      if (end !== null) {
        reopen(end.file, end.writes);
        const before = waiting.length;
        for (let piece = 0; 5 * piece < 20 + count; piece += 1) ask(end.file, piece);
        while (waiting.length > before) give(before, false);
      }
      channel.end();
      for (const { kind, path, size, bytes, sha256: hash } of [
        ...channel.of('drive_read'),
        ...channel.of('drive_written'),
      ]) {
        const content = contents.get(path)!;
        assert.ok(bytes! <= content.length, `${kind} ${path}: ${bytes} of ${content.length}`);
        if (size !== null && kind === 'drive_read') assert.equal(size, content.length);
        if (hash !== null) {
          assert.equal(hash, sha256(content), `${kind} ${path}`);
          whole += 1;
        }
      }
    }),
    { numRuns: 150 },
  );
  assert.ok(whole > 20, `${whole} whole files`);
});

test('deleted when its device closes it, if nobody changed his mind', () => {
  const channel = lent();
  channel.open(1, '\\gone.txt');
  channel.set(1, FileInformationClass.disposition, Uint8Array.of(1));
  channel.close(1);
  channel.open(2, '\\kept.txt');
  channel.set(2, FileInformationClass.disposition, no);
  channel.set(2, FileInformationClass.disposition, Uint8Array.of(0));
  channel.close(2);
  channel.open(3, '\\refused.txt');
  channel.set(3, FileInformationClass.disposition, Uint8Array.of(1), 0xc0000022);
  channel.close(3);
  channel.open(4, '\\on close.txt', { options: 0x1000 });
  channel.open(5, '\\at the end.txt');
  channel.set(5, FileInformationClass.disposition, no);
  assert.deepEqual(
    channel
      .end()
      .of('drive_deleted')
      .map(({ path }) => path),
    ['\\gone.txt', '\\on close.txt', '\\at the end.txt'],
  );
});

test('renamed, with both names', () => {
  const channel = lent();
  channel.open(1, '\\old.txt');
  const name = { replaceIfExists: 0, rootDirectory: 0, fileName: utf16z('\\new.txt') };
  channel.set(1, FileInformationClass.rename, encode(fileRenameInformation, name), 0xc0000022);
  channel.set(1, FileInformationClass.rename, encode(fileRenameInformation, name));
  const renamed = { kind: 'drive_renamed', drive: 'C:', path: '\\old.txt', newPath: '\\new.txt' };
  assert.deepEqual(channel.of('drive_renamed'), [renamed]);
});

test('a write counts what its answer says, and leaves a hash only of what is known to be the file', () => {
  const fresh = { access: WRITE, disposition: CreateDisposition.overwriteIf };
  const written = (work: (channel: Channel) => void, options: object = fresh) => {
    const channel = lent();
    channel.open(1, '\\a', options);
    work(channel);
    channel.close(1);
    return channel.of('drive_written').map(({ bytes, size, sha256: hash }) => [bytes, size, hash && 'whole']);
  };
  const ten = text('0123456789');
  assert.deepEqual(
    written((c) => c.askWrite(1, 0, ten)()),
    [[10, 10, 'whole']],
  );
  assert.deepEqual(
    written((c) => c.askWrite(1, 0, ten)(4)),
    [[4, 4, 'whole']],
  );
  assert.deepEqual(
    written((c) => c.askWrite(1, 0, ten)(0, 0xc000007f)),
    [],
  );
  assert.deepEqual(
    written((c) => c.askWrite(1, 0, ten)(99)),
    [[10, 10, null]],
  );
  // The rest of an older file may lie behind it.
  assert.deepEqual(
    written((c) => c.askWrite(1, 0, ten)(), { access: WRITE }),
    [[10, null, null]],
  );
  const older = (c: Channel): void => {
    c.size(1, 4);
    c.askWrite(1, 0, ten)();
  };
  assert.deepEqual(written(older, { access: WRITE }), [[10, 10, 'whole']]);
  // To the end: −1, or by rights that allow nothing else.
  assert.deepEqual(
    written((c) => c.askWrite(1, -1, ten)()),
    [[10, null, null]],
  );
  assert.deepEqual(
    written((c) => c.askWrite(1, 0, ten)(), { access: 4 }),
    [[10, null, null]],
  );
  // No answer: neither counted nor known.
  const unanswered = (c: Channel): void => {
    c.askWrite(1, 0, ten)();
    c.askWrite(1, 0, ten);
  };
  assert.deepEqual(written(unanswered), [[10, 10, null]]);
  const twice = (c: Channel): void => {
    const first = c.askWrite(1, 0, ten, 1, 500);
    c.askWrite(1, 10, ten, 1, 500)();
    first();
  };
  assert.deepEqual(written(twice), [[10, 20, null]]);
  const resized = (c: Channel): void => {
    c.askWrite(1, 0, ten)();
    c.set(1, FileInformationClass.endOfFile, new Writer().u64le(5n).bytes());
  };
  assert.deepEqual(written(resized), [[5, 5, 'whole']]);
  const allocated = (c: Channel): void => {
    c.set(1, FileInformationClass.allocation, new Writer().u64le(4096n).bytes());
    c.askWrite(1, 0, ten)();
  };
  assert.deepEqual(written(allocated), [[10, 10, 'whole']]);
  const grown = (c: Channel): void => {
    c.set(1, FileInformationClass.endOfFile, new Writer().u64le(20n).bytes());
    c.askWrite(1, 0, ten)();
  };
  assert.deepEqual(written(grown), [[10, 20, null]]);
});

test('a file that is read is whole where its end was seen', () => {
  const read = (work: (channel: Channel) => void) => {
    const channel = lent();
    channel.open(1, '\\a', { access: READ | WRITE });
    work(channel);
    channel.close(1);
    return channel.of('drive_read').map(({ bytes, size, sha256: hash }) => [bytes, size, hash && 'whole']);
  };
  const hello = text('hello');
  assert.deepEqual(
    read((c) => c.askRead(1, 0, 5)(hello)),
    [[5, null, null]],
  );
  assert.deepEqual(
    read((c) => c.askRead(1, 0, 100)(hello)),
    [[5, 5, 'whole']],
  );
  for (const end of [0, 0xc0000011]) {
    const toEnd = (c: Channel): void => {
      c.askRead(1, 0, 5)(hello);
      c.askRead(1, 5, 5)(no, end);
    };
    assert.deepEqual(read(toEnd), [[5, 5, 'whole']]);
  }
  const grew = (c: Channel): void => {
    c.size(1, 5);
    c.askRead(1, 0, 5)(hello);
    c.size(1, 6);
  };
  assert.deepEqual(read(grew), [[5, 6, null]]);
  const changedBetween = (c: Channel): void => {
    c.size(1, 10);
    c.askRead(1, 0, 5)(hello);
    c.open(2, '\\A', { access: WRITE });
    c.askWrite(2, 5, hello)();
    c.size(1, 10);
    c.askRead(1, 5, 5)(hello);
  };
  assert.deepEqual(read(changedBetween), [[10, 10, null]]);
});

test('drives come and go without end; one that is lent again is another', () => {
  const channel = new Channel();
  channel.putsAside = false;
  for (let i = 0; i < 5000; i += 1) {
    channel.lend(DeviceType.filesystem, i, 'E:');
    if (i % 3 === 0) channel.takeAway(i, 99_999);
  }
  channel.open(1, '\\late.txt', { deviceId: 4999 });
  assert.equal(channel.of('drive').length, 5000);
  assert.equal(channel.of('device_removed').length, 1667);
  assert.equal(channel.of('drive_open').length, 1);
  channel.askRead(1, 0, 100, 4999)(text('from the first'));
  channel.lend(DeviceType.filesystem, 4999, 'F:');
  channel.askRead(1, 0, 100, 4999)(text('of nobody'));
  assert.deepEqual(
    channel
      .end()
      .of('drive_read')
      .map(({ drive, bytes }) => [drive, bytes]),
    [['E:', 14]],
  );
});

test('printers have their names, jobs their contents; other devices are named', () => {
  const wide = utf16z('Office printer');
  const driver = utf16z('Some driver');
  const data = encode(printerDeviceData, {
    flags: 2,
    codePage: 0,
    pnpNameLen: 0,
    driverNameLen: driver.length,
    printNameLen: wide.length,
    cachedFieldsLen: 0,
    names: new Uint8Array(Buffer.concat([driver, wide])),
  });
  const channel = new Channel().lend(DeviceType.printer, 1, 'PRN1', data).lend(DeviceType.printer, 2, 'PRN2');
  channel
    .lend(DeviceType.serial, 3, 'COM1')
    .lend(DeviceType.smartcard, 4, 'SCARD')
    .lend(DeviceType.smartcard, 4, 'SCARD')
    .lend(0x99, 5, 'X');
  assert.deepEqual(
    channel.of('device').map(({ type, name }) => `${type} ${name}`),
    ['printer Office printer', 'printer PRN2', 'serial COM1', 'smart_card SCARD', 'other X'],
  );
  channel.open(7, '', { access: WRITE });
  channel.askWrite(7, 0, text('page one, '))(5);
  channel.askWrite(7, 0, text('one, page two'))();
  channel.close(7);
  const job = text('page one, page two');
  assert.deepEqual(channel.of('print_job'), [
    { kind: 'print_job', printer: 'Office printer', bytes: job.length, sha256: sha256(job) },
  ]);
  const printed = channel.pieces.flatMap((piece) => (piece.type === 'data' ? [piece] : []));
  assert.deepEqual(Buffer.concat(printed.map(({ bytes }) => bytes)).toString(), 'page one, page two');
  assert.deepEqual(channel.of('drive_open'), []);
});

test('what was not recorded leaves no file whole', () => {
  const channel = lent();
  channel.open(1, '\\a', { access: WRITE, disposition: CreateDisposition.create });
  const answer = channel.askWrite(1, 0, new Uint8Array(9 << 20));
  answer();
  channel.close(1);
  assert.deepEqual(
    channel.of('drive_written').map(({ bytes, sha256: hash }) => [bytes, hash]),
    [[9 << 20, null]],
  );
});
