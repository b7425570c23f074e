import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Pump } from '../src/front-door/pump.ts';
import { SocketPeer } from '../src/peer/socket-peer.ts';
import { Turns } from '../src/peer/turns.ts';
import { peerSuite } from './suites/peer.ts';
import { MessagePeer, messagePair } from './support/message-peer.ts';
import { farEnd, socketPair } from './support/socket-pair.ts';
import { webSocketFarEnd, webSocketPair } from './support/web-socket-pair.ts';

for (const tls of [false, true])
  peerSuite(tls ? 'TLS' : 'TCP', async (t: TestContext) => {
    const { near, far } = await socketPair(t, tls);
    return { peer: new SocketPeer(near), far: farEnd(far) };
  });

peerSuite('WebSocket', async (t: TestContext) => {
  const { near, far } = await webSocketPair(t, Number.POSITIVE_INFINITY);
  near.stream.pause();
  return { peer: new SocketPeer(near.stream), far: webSocketFarEnd(far) };
});

peerSuite('messages', async () => messagePair());

peerSuite('an owner’s turn', async (t: TestContext) => {
  const { near, far } = await socketPair(t, true);
  const turns = new Turns(new SocketPeer(near));
  turns.next();
  return { peer: turns.next(), far: farEnd(far) };
});

test('what comes between two owners waits for the second, and the first is out of it', async (t) => {
  const { near, far } = await socketPair(t, true);
  const desktop = farEnd(far);
  const turns = new Turns(new SocketPeer(near));
  const heard: string[] = [];
  const first = turns.next();
  first.read((bytes) => heard.push(`first ${Buffer.from(bytes)}`) > 0);
  desktop.send(Buffer.from('one'));
  while (heard.length < 1) await new Promise((resolve) => setImmediate(resolve));
  const second = turns.next();
  desktop.send(Buffer.from('two'));
  await new Promise((resolve) => setTimeout(resolve, 30));
  first.resume();
  first.write(Buffer.from('not sent'));
  first.end();
  first.destroy();
  second.read((bytes) => heard.push(`second ${Buffer.from(bytes)}`) > 0);
  desktop.send(Buffer.from('!'));
  while (!heard.join('').includes('!')) await new Promise((resolve) => setImmediate(resolve));
  const said = (owner: string) =>
    heard.flatMap((line) => (line.startsWith(owner) ? [line.slice(owner.length + 1)] : []));
  assert.deepEqual([said('first').join(''), said('second').join('')], ['one', 'two!']);
  second.write(Buffer.from('sent'));
  while (desktop.received().length < 4) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(desktop.received().toString(), 'sent');
  second.end();
  await desktop.gone;
});

test('the relay pumps between a WebSocket-like peer and a TLS connection as between two sockets', async (t) => {
  const browser = messagePair();
  const { near, far } = await socketPair(t, true);
  const host = new SocketPeer(near);
  const desktop = farEnd(far);
  const ends = { onBytes: (bytes: Uint8Array) => [bytes], hasRoom: () => true };
  const pumps = [
    new Pump({ ...ends, from: browser.peer, to: host }),
    new Pump({ ...ends, from: host, to: browser.peer }),
  ];
  for (const pump of pumps) pump.start();
  browser.far.send(Buffer.from('typed'));
  desktop.send(Buffer.alloc(500_000, 7));
  while (desktop.received().length < 5 || browser.far.received().length < 500_000)
    await new Promise((resolve) => setImmediate(resolve));
  assert.equal(desktop.received().toString(), 'typed');
  assert.ok(browser.far.received().every((byte) => byte === 7));
  assert.ok(browser.peer instanceof MessagePeer);
  for (const pump of pumps) pump.stop();
  browser.peer.end();
  host.end();
  await Promise.all([browser.far.gone, desktop.gone]);
});
