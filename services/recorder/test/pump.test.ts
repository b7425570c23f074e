import assert from 'node:assert/strict';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls';
import { makeCertificate } from '@lucid-sessions/desktop';
import { Pump } from '../src/front-door/pump.ts';
import { readSocket } from '../src/front-door/socket-reader.ts';

const certificate = await makeCertificate('pump');
const secureContext = createSecureContext({ key: certificate.key, cert: certificate.cert });

/** Two ends of one connection on the loopback. */
async function pair(t: TestContext, tls: boolean): Promise<{ near: Socket; far: Socket }> {
  const server = createServer({ noDelay: true });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const raw = connect(port, '127.0.0.1');
  const other = await accepted;
  server.close();
  const near = tls ? new TLSSocket(other, { isServer: true, secureContext }) : other;
  const far = tls ? connectTls({ socket: raw, rejectUnauthorized: false }) : raw;
  if (tls) await new Promise((resolve) => far.once('secureConnect', resolve));
  for (const socket of [near, far, raw, other]) socket.on('error', () => {});
  t.after(() => {
    near.destroy();
    far.destroy();
  });
  return { near, far };
}

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
      from: from.near,
      to: to.near,
      onBytes: (bytes) => [bytes.subarray(0, 1), bytes.subarray(1)],
      // Now and then the recording has no room.
      hasRoom: () => {
        rooms += 1;
        return rooms % 7 !== 0;
      },
      onEnd: () => {},
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
  const pump = new Pump({
    from: from.near,
    to: to.near,
    onBytes: (bytes) => {
      taken += bytes.length;
      return [bytes];
    },
    hasRoom: () => true,
    onEnd: () => {},
  });
  pump.start();
  from.far.write(pattern(100_000));
  while (taken < 100_000) await new Promise((resolve) => setImmediate(resolve));
  pump.send(Buffer.from('bye'));
  pump.stop();
  to.near.end();
  const received = await collect(to.far, 100_003);
  assert.equal(received.subarray(-3).toString(), 'bye');
  from.far.write('more');
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(taken, 100_000);
});
