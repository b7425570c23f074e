/** The gateway towards a browser, without sockets: whatever comes, in any pieces, it ends in bounded memory and never throws. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  BrowserFront,
  type BrowserFrontEvent,
  Connector,
  Protocol,
  RD_CLEAN_PATH_VERSION,
  rdCleanPath,
  type Step,
  tsRequest,
} from '../src/index.ts';

const connector = (requestedProtocols: number): Connector =>
  new Connector({ requestedProtocols, desktopWidth: 800, desktopHeight: 600, userName: 'alice' });

const x224 = connector(11).start().output;
const hello = encode(rdCleanPath, { version: RD_CLEAN_PATH_VERSION, destination: 'a:1', proxyAuth: 'secret', x224 });
const logon = [1, 2].map((byte) => encode(tsRequest, { version: 6, negoTokens: [new Uint8Array(200).fill(byte)] }));

/** What a client says first behind TLS. */
function connectInitial(confirm: Uint8Array): Uint8Array {
  const client = connector(11);
  client.start();
  client.step(confirm);
  const { output } = client.tlsEstablished();
  return output.length > 0 ? output : client.credsspDone().output;
}

const accepted = (selectedProtocol: number) => ({
  selectedProtocol,
  negotiationFlags: 0,
  certificates: [Uint8Array.of(0x30, 0)],
  serverAddress: 'b:2',
});

/** `bytes` cut at `cuts`, each piece a step. */
function stepAll(front: BrowserFront, bytes: Uint8Array, cuts: readonly number[]): BrowserFrontEvent[] {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].flatMap((from, i) => front.step(bytes.subarray(from, at[i] ?? bytes.length)).events);
}

for (const selected of [Protocol.ssl, Protocol.hybrid])
  test(`in any pieces a browser comes to its session (protocol ${selected})`, () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 6 }), (first, second) => {
        const front = new BrowserFront();
        const [asked, ...more] = stepAll(front, hello, first);
        assert.equal(more.length, 0);
        assert.ok(asked?.kind === 'connectionRequest');
        assert.deepEqual([asked.token, asked.destination], ['secret', 'a:1']);
        assert.deepEqual(asked.bytes, x224);
        const answer = decode(rdCleanPath, front.accept(accepted(selected)).output);
        assert.deepEqual([answer.serverAddress, answer.certificates?.length], ['b:2', 1]);
        assert.deepEqual(answer.x224, front.confirm);
        const initial = connectInitial(front.confirm);
        const said = Buffer.concat([...(selected === Protocol.ssl ? [] : logon), initial, Uint8Array.of(3, 0)]);
        const events = stepAll(front, said, second);
        assert.deepEqual(
          events.map(({ kind }) => kind),
          [...(selected === Protocol.ssl ? [] : ['logon', 'logon']), 'connectInitial'],
        );
        assert.deepEqual(front.handOver(), Uint8Array.from([...initial, 3, 0]));
        assert.equal(front.state, 'handedOver');
      }),
    );
  });

test("a target's part of the logon goes through, and no more of it than a logon has", () => {
  const front = new BrowserFront();
  front.step(hello);
  assert.equal(front.fromTarget(Uint8Array.of(1)).output.length, 0);
  front.accept(accepted(Protocol.hybrid));
  assert.deepEqual(front.fromTarget(Uint8Array.of(1, 2)).output, Uint8Array.of(1, 2));
  const flood = front.fromTarget(new Uint8Array(300 * 1024));
  assert.deepEqual([flood.output.length, flood.events[0]?.kind, front.state], [0, 'ended', 'ended']);
});

test('no before an answer is a status, and nothing more', () => {
  for (const said of [new Uint8Array(0), hello]) {
    const front = new BrowserFront();
    front.step(said);
    const { output, events } = front.refuse(0, 409);
    assert.deepEqual(decode(rdCleanPath, output), { version: 3390, error: { code: 1, httpStatus: 409 } });
    assert.equal(events[0]?.kind, 'ended');
    assert.deepEqual(front.refuse(0, 500), { output: new Uint8Array(0), events: [] });
  }
});

test('no after it is said in RDP, also to one that has begun', () => {
  for (const begins of [false, true]) {
    const front = new BrowserFront();
    front.step(hello);
    front.accept(accepted(Protocol.ssl));
    const initial = connectInitial(front.confirm);
    if (begins) front.step(initial);
    const first = front.refuse(1, 500);
    const second = begins ? first : front.step(initial);
    assert.ok(second.output.length > 0, 'an MCS Connect Response');
    assert.equal(front.state, 'refusal');
    front.stop('left', '');
    assert.equal(front.state, 'ended');
  }
});

test('whatever comes, at whatever moment, ends or waits', () => {
  const moves = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 400 }).map((bytes) => (front: BrowserFront) => front.step(bytes)),
      fc
        .constantFrom(hello, ...logon, connectInitial(confirmed()), new Uint8Array(20_000))
        .map((bytes) => (front: BrowserFront) => front.step(bytes)),
      fc.uint8Array({ maxLength: 100 }).map((bytes) => (front: BrowserFront) => front.fromTarget(bytes)),
      fc
        .constantFrom(Protocol.ssl, Protocol.hybrid, Protocol.hybridEx)
        .map((protocol) => (front: BrowserFront) => front.accept(accepted(protocol))),
      fc.constantFrom((front: BrowserFront) => front.refuse(1, 500)),
    ),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(moves, (all) => {
      const front = new BrowserFront();
      const steps: Step<BrowserFrontEvent>[] = all.map((move) => move(front));
      const ends = steps.flatMap(({ events }) => events).filter(({ kind }) => kind === 'ended');
      assert.ok(ends.length <= 1);
      assert.equal(ends.length === 1, front.state === 'ended');
    }),
    { numRuns: 300 },
  );
});

function confirmed(): Uint8Array {
  const front = new BrowserFront();
  front.step(hello);
  front.accept(accepted(Protocol.ssl));
  return front.confirm;
}
