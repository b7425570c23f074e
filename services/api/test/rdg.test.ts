/** RD Gateway clients on the API's port: their requests, which are none of HTTP's, and what of them reaches a recorder. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';

import { createServiceHttp, type DoorVisit, doorHeader, ServiceCaller } from '@lucid-sessions/kit';
import { makeCertificate } from '@lucid-sessions/testkit';
import fc from 'fast-check';
import { createApiHttpServer, readApiTls } from '../src/http-server.ts';
import { ChunkedBody } from '../src/rdg/chunked-body.ts';
import { parseHead } from '../src/rdg/request-head.ts';
import { apiWorld } from './world.ts';

const serviceSecret = 'the secret of the services, for tests only';
const id = '{0c7b3ef0-7d0e-4c7e-8f7a-2f6c9f0b1a2d}';

/** Takes every visit with 101 and says what it hears in capitals. */
async function recorder(t: TestContext): Promise<{ visits: DoorVisit[]; heard: () => string; url: string }> {
  const visits: DoorVisit[] = [];
  let heard = '';
  const port = { health: async () => ({ service: 'recorder', status: 'healthy', message: null, details: {} }) };
  const app = createServiceHttp({
    name: 'recorder',
    port: port as never,
    serviceSecret,
    doors: {
      rdg(visit) {
        visits.push(visit);
        const { socket, head } = visit;
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: rdg\r\n\r\n');
        const hear = (bytes: Buffer): void => {
          heard += String(bytes);
          if (visit.request.headers[doorHeader.method] !== 'RDG_IN_DATA') socket.write(String(bytes).toUpperCase());
        };
        if (head.length > 0) hear(head);
        socket.on('data', hear).on('end', () => socket.end());
      },
    },
  });
  t.after(() => {
    for (const { socket } of visits) socket.destroy();
    return app.close();
  });
  return { visits, heard: () => heard, url: await app.listen({ port: 0, host: '127.0.0.1' }) };
}

async function behind(t: TestContext, urls: readonly string[], changes = {}) {
  const world = await apiWorld(changes, {
    recorderDoor: { urls: async () => urls, caller: new ServiceCaller({ serviceSecret }) },
  });
  t.after(() => world.dispose());
  return { world, port: Number(new URL(world.address).port) };
}

class Raw {
  readonly socket: Socket;
  text = '';

  constructor(socket: Socket) {
    this.socket = socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      this.text += bytes.toString('latin1');
    });
  }

  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.text)) {
      if (this.socket.readableEnded || this.socket.destroyed) throw new Error(`closed after ${this.text}`);
      await Promise.race([once(this.socket, 'data'), once(this.socket, 'close')]);
    }
    return this.text;
  }

  async closed(): Promise<string> {
    if (!this.socket.closed) await once(this.socket, 'close');
    return this.text;
  }
}

const raw = (t: TestContext, port: number): Raw => {
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  return new Raw(socket);
};

const request = (method: string, ...lines: string[]): string =>
  `${[`${method} /remoteDesktopGateway/ HTTP/1.1`, 'Host: g', `RDG-Connection-Id: ${id}`, ...lines].join('\r\n')}\r\n\r\n`;

test('the way out: answered as plain HTTP, and bytes from there on', async (t) => {
  const { visits, url } = await recorder(t);
  const { port } = await behind(t, [url]);
  const client = raw(t, port);
  client.socket.write(request('RDG_OUT_DATA', 'Content-Length: 0'));
  assert.equal(await client.until(/\r\n\r\n/), 'HTTP/1.1 200 OK\r\n\r\n');
  visits[0]?.socket.write('packets');
  await client.until(/packets$/);
  const { headers } = visits[0]!.request;
  assert.deepEqual(
    [headers[doorHeader.method], headers['rdg-connection-id'], visits[0]?.clientAddress],
    ['RDG_OUT_DATA', id, '127.0.0.1'],
  );
  client.socket.destroy();
  await once(visits[0]!.socket, 'close');
});

test('the way in: asked first, then a body in chunks, of which the recorder gets what it means', async (t) => {
  const { visits, heard, url } = await recorder(t);
  const { port } = await behind(t, [url]);
  const client = raw(t, port);
  client.socket.write(request('RDG_IN_DATA', 'Content-Length: 0'));
  assert.equal(await client.until(/\r\n\r\n/), 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  client.socket.write(`${request('RDG_IN_DATA', 'Transfer-Encoding: chunked')}5\r\nfirst\r\n`);
  client.socket.write('7;x=y\r\n second\r\n');
  while (heard() !== 'first second') await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(visits[0]?.request.headers[doorHeader.method], 'RDG_IN_DATA');
  client.socket.write('no chunk\r\n');
  await client.closed();
});

test('a body with a length goes on as it is, and a recorder that ends ends the client', async (t) => {
  const { visits, heard, url } = await recorder(t);
  const { port } = await behind(t, [url]);
  const client = raw(t, port);
  client.socket.write(`${request('RDG_IN_DATA', 'Content-Length: 4294967295')}packets`);
  while (heard() !== 'packets') await new Promise((resolve) => setTimeout(resolve, 5));
  visits[0]?.socket.destroy();
  await client.closed();
});

test('a WebSocket by a method of the gateway, with the key of FreeRDP 2, which is none', async (t) => {
  const { visits, url } = await recorder(t);
  const { port } = await behind(t, [url]);
  const key = 'A@[B]^_CDEFGHIJ';
  const client = raw(t, port);
  const upgrade = [
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-Websocket-Version: 13',
    `Sec-Websocket-Key: ${key}`,
  ];
  // One byte after another: what begins like a method may be cut anywhere.
  for (const byte of request('RDG_OUT_DATA', ...upgrade)) client.socket.write(byte);
  const answer = await client.until(/\r\n\r\n/);
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  assert.match(answer, /^HTTP\/1\.1 101 /);
  assert.ok(answer.includes(`sec-websocket-accept: ${accept}\r\n`), answer);
  assert.match(visits[0]!.request.headers['sec-websocket-key'] ?? '', /^[A-Za-z0-9+/]{22}==$/);
  client.socket.write('frames');
  await client.until(/FRAMES$/);
});

test('everything else on the port is HTTP as ever, also when it begins like a gateway’s method', async (t) => {
  const { port, world } = await behind(t, []);
  for (const pieces of [
    ['GET /health HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['G', 'ET /health HTTP/1.1\r\nHost: a\r\n', '\r\n'],
  ]) {
    const client = raw(t, port);
    for (const piece of pieces) {
      client.socket.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await client.until(/"status":/);
    // The next request on the same connection.
    client.text = '';
    client.socket.write('GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until(/"openapi"/);
  }
  const odd = raw(t, port);
  odd.socket.write('RDX /health HTTP/1.1\r\nHost: a\r\n\r\n');
  await odd.until(/^HTTP\/1\.1 400 /);
  assert.equal((await world.raw('/health')).status, 200);
});

test('who asks for something else, or nothing, is told so and let go', async (t) => {
  const { url } = await recorder(t);
  const { port } = await behind(t, [url]);
  const told: [string, RegExp][] = [
    [request('RDG_OUT_DATA').replace('/remoteDesktopGateway/', '/api/v1/sessions'), /^HTTP\/1\.1 404 /],
    [request('RDG_OUT_DATA').replace('HTTP/1.1', 'HTTP/1.0'), /^HTTP\/1\.1 400 /],
    [request('RDG_DATA'), /^HTTP\/1\.1 400 /],
    [request('RDG_OUT_DATA', 'no header'), /^HTTP\/1\.1 400 /],
    [request('RDG_OUT_DATA', `X: ${'x'.repeat(20_000)}`), /^HTTP\/1\.1 400 /],
    [request('RDG_IN_DATA').repeat(5), /HTTP\/1\.1 400 /],
  ];
  for (const [text, answer] of told) {
    const client = raw(t, port);
    client.socket.write(text);
    assert.match(await client.closed(), answer);
  }
  const nowhere = await behind(t, ['http://127.0.0.1:1']);
  const client = raw(t, nowhere.port);
  client.socket.write(request('RDG_OUT_DATA'));
  assert.match(await client.closed(), /^HTTP\/1\.1 503 /);
});

test('closing waits for nobody who says nothing, or half a request', async (t) => {
  const world = await apiWorld({}, {});
  const port = Number(new URL(world.address).port);
  const [silent, half] = [raw(t, port), raw(t, port)];
  half.socket.write('RDG_OUT_DATA /remote');
  await Promise.all([silent, half].map(({ socket }) => once(socket, 'connect')));
  await new Promise((resolve) => setTimeout(resolve, 50));
  await world.dispose();
  await Promise.all([silent.closed(), half.closed()]);
});

test('with a certificate the port speaks TLS, to browsers and gateway clients', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'lucid-tls-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const { cert, key } = await makeCertificate();
  const [certificatePath, keyPath] = [join(directory, 'api.crt'), join(directory, 'api.key')];
  writeFileSync(certificatePath, cert);
  writeFileSync(keyPath, key);
  const { url } = await recorder(t);
  const { world, port } = await behind(t, [url], { tls: { certificatePath, keyPath } });
  assert.match(world.address, /^https:/);
  const secure = () => {
    const socket = connectTls({ port, host: '127.0.0.1', ca: cert, servername: 'localhost' });
    t.after(() => socket.destroy());
    return new Raw(socket);
  };
  const browser = secure();
  browser.socket.write('GET /health HTTP/1.1\r\nHost: a\r\n\r\n');
  await browser.until(/"status":/);
  const client = secure();
  client.socket.write(request('RDG_OUT_DATA'));
  assert.equal(await client.until(/\r\n\r\n/), 'HTTP/1.1 200 OK\r\n\r\n');

  const both = { LUCID_API_TLS_CERT: certificatePath, LUCID_API_TLS_KEY: keyPath };
  assert.deepEqual(readApiTls(both), { certificatePath, keyPath });
  assert.equal(readApiTls({}), null);
  assert.throws(() => readApiTls({ LUCID_API_TLS_CERT: certificatePath }), /LUCID_API_TLS_KEY and LUCID_API_TLS_CERT/);
  for (const [wrong, what] of [
    [{ certificatePath: join(directory, 'absent'), keyPath }, /LUCID_API_TLS_CERT names .*absent, which can't be read/],
    [{ certificatePath: keyPath, keyPath }, /LUCID_API_TLS_CERT names .*no certificate in PEM form/],
  ] as const)
    assert.throws(() => createApiHttpServer(wrong, {}, () => {}), what);
});

test('a head is what it says, or none', () => {
  assert.deepEqual({ ...parseHead('RDG_OUT_DATA /a?b HTTP/1.1\r\nA:  x \r\nA: y\r\nb:')?.headers }, { a: 'y', b: '' });
  for (const text of [
    '',
    'GET / HTTP/1.1',
    'RDG_OUT_DATA  / HTTP/1.1',
    'RDG_OUT_DATA x HTTP/1.1',
    'RDG_OUT_DATA / HTTP/1.1 ',
    'RDG_OUT_DATA / HTTP/1.1\r\n: x',
    'RDG_OUT_DATA / HTTP/1.1\r\n a: x',
    `RDG_OUT_DATA / HTTP/1.1${'\r\na: b'.repeat(101)}`,
  ])
    assert.equal(parseHead(text), null, text);
});

async function contentOf(pieces: readonly Buffer[]): Promise<string | null> {
  const body = new ChunkedBody();
  const content: Buffer[] = [];
  body.on('data', (bytes: Buffer) => content.push(bytes));
  const over = new Promise<boolean>((resolve) =>
    body.once('end', () => resolve(true)).once('error', () => resolve(false)),
  );
  for (const piece of pieces) body.write(piece);
  body.end();
  return (await over) ? Buffer.concat(content).toString() : null;
}

const cut = (text: string, size: number): Buffer[] => {
  const bytes = Buffer.from(text, 'latin1');
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.subarray(at * size, (at + 1) * size));
};

test('chunks are undone whatever pieces they come in, and what is none is an error', async () => {
  const chunks = fc.array(fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme-ascii' }), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(chunks, fc.integer({ min: 1, max: 9 }), async (texts, size) => {
      const body = texts.map((text) => `${text.length.toString(16)}\r\n${text}\r\n`).join('');
      assert.equal(await contentOf(cut(`${body}0\r\n\r\n`, size)), texts.join(''));
    }),
    { numRuns: 100 },
  );
  assert.equal(await contentOf(cut('1\r\na\r\n0\r\nTrailer: x\r\n\r\nmore', 3)), 'a');
  const hostile = [
    '',
    '1\r\na',
    '1\r\nab\r\n',
    'x\r\n',
    '-1\r\n',
    '123456789\r\n',
    '1\na\r\n',
    `1;${'x'.repeat(2000)}\r\n`,
    '0x1\r\na\r\n',
  ];
  for (const text of hostile) assert.equal(await contentOf(cut(text, 4)), null, text);
});
