/** What a WebSocket's far end may do to a gateway: each costs its own connection, and bounded memory. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import type { WebSocketStream } from '../src/doors/web-socket-stream.ts';
import { webSocketPair, webSocketServer } from './support/web-socket-pair.ts';

const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, reserved: 3 } as const;

/** A masked frame, [RFC 6455] 5.2; `length` may lie. */
function frame(first: number, payload: Uint8Array, length = payload.length): Buffer {
  const mask = randomBytes(4);
  const extended = Buffer.alloc(length < 126 ? 0 : length < 65_536 ? 2 : 8);
  if (extended.length === 2) extended.writeUInt16BE(length);
  if (extended.length === 8) extended.writeBigUInt64BE(BigInt(length));
  const short = extended.length === 0 ? length : extended.length === 2 ? 126 : 127;
  const masked = Buffer.from(payload).map((byte, at) => byte ^ mask[at % 4]!);
  return Buffer.concat([Buffer.from([first, 0x80 | short]), extended, mask, masked]);
}

async function raw(t: TestContext, earlyBytesMax: number): Promise<{ stream: WebSocketStream; socket: Socket }> {
  const { port, accepted } = await webSocketServer(t, earlyBytesMax);
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  t.after(() => socket.destroy());
  const key = randomBytes(16).toString('base64');
  const head = ['GET / HTTP/1.1', 'Host: x', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];
  socket.write(`${[...head, `Sec-WebSocket-Key: ${key}`].join('\r\n')}\r\n\r\n`);
  await new Promise((resolve) => socket.once('data', resolve));
  // Says goodbye where it is told so.
  socket.on('data', (bytes: Buffer) => {
    if (bytes[0] === (0x80 | opcode.close)) socket.end();
  });
  const { stream } = await accepted;
  stream.on('error', () => {});
  return { stream, socket };
}

const gone = (stream: WebSocketStream) =>
  new Promise<void>((resolve) => {
    stream.resume().once('end', resolve).once('close', resolve);
  });

const broken: [string, Buffer][] = [
  ['a frame that is not masked', Buffer.from([0x82, 0x01, 0x41])],
  ['a reserved opcode', frame(0x80 | opcode.reserved, Buffer.from('x'))],
  ['reserved bits', frame(0xf0 | opcode.binary, Buffer.from('x'))],
  ['a continuation of nothing', frame(0x80 | opcode.continuation, Buffer.from('x'))],
  ['a ping in pieces', frame(opcode.ping, Buffer.from('x'))],
  ['a ping that is too long', frame(0x80 | opcode.ping, Buffer.alloc(126))],
  ['a message that says it is longer than any may be', frame(0x80 | opcode.binary, Buffer.from('x'), 0x7f_ff_ff_ff)],
  ['a length beyond all numbers', Buffer.from([0x82, 0xff, ...Buffer.alloc(8, 0xff), 0, 0, 0, 0])],
  [
    'a new message inside another',
    Buffer.concat([frame(opcode.binary, Buffer.from('x')), frame(0x82, Buffer.from('y'))]),
  ],
  ['a text message', frame(0x80 | opcode.text, Buffer.from('hello'))],
  ['text that is none', frame(0x80 | opcode.text, Buffer.from([0xff, 0xfe]))],
  [
    'fragments without end',
    Buffer.concat(Array.from({ length: 20_000 }, (_, at) => frame(at === 0 ? 2 : 0, Buffer.of(1)))),
  ],
  ['pings without end', Buffer.concat(Array.from({ length: 200 }, () => frame(0x80 | opcode.ping, Buffer.of(1))))],
  ['a close with a reserved code', frame(0x80 | opcode.close, Buffer.from([0x03, 0xed]))],
  ['a close', frame(0x80 | opcode.close, Buffer.from([0x03, 0xe8]))],
];

test('whatever is no binary message ends the connection, and is never data', async (t) => {
  for (const [what, bytes] of broken) {
    const { stream, socket } = await raw(t, Number.POSITIVE_INFINITY);
    const taken: Buffer[] = [];
    stream.on('data', (piece: Buffer) => taken.push(piece));
    socket.write(bytes);
    await gone(stream);
    assert.equal(Buffer.concat(taken).length, 0, what);
    stream.destroy();
  }
});

test('a message in fragments, with pings between them, is one', async (t) => {
  const { stream, socket } = await raw(t, 1000);
  socket.write(
    Buffer.concat([
      frame(opcode.binary, Buffer.from('he')),
      frame(0x80 | opcode.ping, Buffer.from('?')),
      frame(opcode.continuation, Buffer.alloc(0)),
      frame(0x80 | opcode.continuation, Buffer.from('llo')),
    ]),
  );
  const data = await new Promise((resolve) => stream.once('data', resolve));
  assert.equal(String(data), 'hello');
});

test('who has not been let in may send little, whatever it is; who has may send much', async (t) => {
  for (const bytes of [
    frame(0x82, Buffer.alloc(2000)),
    frame(0x02, Buffer.alloc(2000)),
    frame(0x82, Buffer.alloc(2000), 5000),
  ]) {
    const { stream, socket } = await raw(t, 1000);
    socket.write(bytes);
    await gone(stream);
    stream.destroy();
  }
  const { near, far } = await webSocketPair(t, 1000);
  near.letIn();
  far.send(Buffer.alloc(1_000_000, 7));
  let taken = 0;
  for await (const piece of near.stream) {
    taken += (piece as Buffer).length;
    if (taken === 1_000_000) break;
  }
  assert.equal(taken, 1_000_000);
});

test('nothing to say is no message: a client may take it for the end', async (t) => {
  const { near, far } = await webSocketPair(t, 1000);
  const messages: string[] = [];
  far.on('message', (data) => messages.push(String(data)));
  near.stream.write(Buffer.alloc(0));
  near.stream.end('something');
  await new Promise((resolve) => far.once('close', resolve));
  assert.deepEqual(messages, ['something']);
});

test('a refusal is a close with words', async (t) => {
  const { near, far } = await webSocketPair(t, 1000);
  const closed = new Promise<[number, Buffer]>((resolve) => far.once('close', (...args) => resolve(args)));
  near.stream.reason = `not today${'é'.repeat(100)}`;
  near.stream.end();
  const [code, reason] = await closed;
  assert.deepEqual([code, reason.toString()], [1008, `not today${'é'.repeat(57)}`]);
  assert.equal(far.readyState, WebSocket.CLOSED);
});

test('what is no WebSocket handshake is answered and makes no stream', async (t) => {
  const { port, refused } = await webSocketServer(t, 1000);
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  const answer = new Promise<Buffer>((resolve) => socket.once('data', resolve));
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  assert.match(String(await answer), /^HTTP\/1\.1 400 /);
  await refused;
});
