import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { Pump } from '../src/front-door/pump.ts';
import { SocketPeer } from '../src/peer/socket-peer.ts';
import { readSocket } from '../src/peer/socket-reader.ts';
import { socketPair as pair } from './support/socket-pair.ts';

const pattern = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 0xff));

function collect(socket: Socket, length: number): Promise<Buffer> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    socket.on('data', (piece: Buffer) => {
      pieces.push(piece);
      bytes += piece.length;
      if (bytes >= length) resolve(Buffer.concat(pieces));
    });
  });
}

for (const [source, sink] of [
  [true, true],
  [true, false],
  [false, true],
] as const)
  test(`bytes come out as they went in, ${source ? 'TLS' : 'TCP'} to ${sink ? 'TLS' : 'TCP'}, through a slow peer`, async (t) => {
    const from = await pair(t, source);
    const to = await pair(t, sink);
    let rooms = 0;
    const pump = new Pump({
      from: new SocketPeer(from.near),
      to: new SocketPeer(to.near),
      onBytes: (bytes) => [bytes.subarray(0, 1), bytes.subarray(1)],
      // Now and then the recording has no room.
      hasRoom: () => {
        rooms += 1;
        return rooms % 7 !== 0;
      },
    });
    pump.start();
    const sent = pattern(3_000_000);
    from.far.write(sent);
    // The far end does not read for a while: the pump must gather, stop, and go on.
    await new Promise((resolve) => setTimeout(resolve, 50));
    const received = await collect(to.far, sent.length);
    assert.equal(received.equals(sent), true);
    pump.stop();
  });

test('bytes that came before reading began are not lost', async (t) => {
  const { near, far } = await pair(t, true);
  far.write('early');
  await new Promise<void>((resolve) => {
    near.once('readable', () => {
      const bytes = near.read() as Buffer;
      near.unshift(bytes);
      resolve();
    });
  });
  const seen: string[] = [];
  const both = new Promise<void>((resolve) => {
    readSocket(near, (bytes) => {
      seen.push(Buffer.from(bytes).toString());
      if (seen.join('') === 'earlylate') resolve();
      return true;
    });
  });
  far.write('late');
  await both;
});

test('a socket without the fields Node has today is read by events', async () => {
  const stream = new PassThrough();
  const seen: string[] = [];
  readSocket(stream as unknown as Socket, (bytes) => {
    seen.push(Buffer.from(bytes).toString());
    return false;
  });
  stream.write('a');
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(stream.isPaused(), true);
  stream.write('b');
  stream.resume();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(seen.join(''), 'ab');
});

test('the fast way of reading is the one in use', async (t) => {
  const { near } = await pair(t, true);
  const before = near.listenerCount('data');
  readSocket(near, () => true);
  assert.equal(near.listenerCount('data'), before, 'this Node no longer has the fields: see socket-reader.ts');
});

test('stopping hands over what was gathered, and takes nothing more', async (t) => {
  const from = await pair(t, true);
  const to = await pair(t, true);
  let taken = 0;
  const host = new SocketPeer(to.near);
  const pump = new Pump({
    from: new SocketPeer(from.near),
    to: host,
    onBytes: (bytes) => {
      taken += bytes.length;
      return [bytes];
    },
    hasRoom: () => true,
  });
  pump.start();
  from.far.write(pattern(100_000));
  while (taken < 100_000) await new Promise((resolve) => setImmediate(resolve));
  pump.send(Buffer.from('bye'));
  pump.stop();
  host.end();
  const received = await collect(to.far, 100_003);
  assert.equal(received.subarray(-3).toString(), 'bye');
  from.far.write('more');
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(taken, 100_000);
});
