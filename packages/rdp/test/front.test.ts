/** The gateway's two sides before a session runs, with the bytes of real handshakes cut, merged and spoiled at will. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { readCapture } from '@lucid-sessions/testkit';
import { decode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  Connector,
  ErrorInfo,
  Front,
  type FrontEvent,
  preconnectionPdu,
  type Step,
  Target,
  type TargetEvent,
} from '../src/index.ts';

const captures = new URL('../../../testkit/captures/', import.meta.url).pathname;

interface Handshake {
  name: string;
  /** The client's connection request and what it said in TLS, for as long as the connection sequence takes. */
  request: Buffer;
  secured: Buffer;
  confirm: Buffer;
}

const handshakes: Handshake[] = readdirSync(captures)
  .filter((name) => name.endsWith('.rdpcap.gz'))
  .map((name) => {
    const { records } = readCapture(captures + name);
    const bytes = (fromServer: boolean, beforeTls: boolean): Buffer =>
      Buffer.concat(
        records.filter((r) => r.fromServer === fromServer && r.beforeTls === beforeTls).map((r) => r.bytes),
      );
    return {
      name,
      request: bytes(false, true),
      secured: bytes(false, false).subarray(0, 8000),
      confirm: bytes(true, true),
    };
  })
  .filter(({ request }) => request.length > 0);

const clientHello = Buffer.concat([Buffer.from('1603010200010001fc0303', 'hex'), Buffer.alloc(506, 7)]);

const pieces = (bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] => {
  const cut: Uint8Array[] = [];
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    // A copy that is spoiled afterwards: a driver reuses its memory.
    cut.push(new Uint8Array(bytes.subarray(at, at + sizes[i % sizes.length]!)));
    at += sizes[i % sizes.length]!;
  }
  return cut;
};

interface Outcome {
  kinds: string[];
  request: string;
  early: string;
  connectInitial: string;
  sent: string;
  handedOver: string;
}

/** One client from its first byte on; `answer` says how the gateway decides. */
function play(
  before: Uint8Array,
  secured: Uint8Array,
  sizes: readonly number[],
  answer: 'handOver' | 'refuseFirst' | 'refuseLast',
): Outcome {
  const front = new Front();
  const outcome: Outcome = { kinds: [], request: '', early: '', connectInitial: '', sent: '', handedOver: '' };
  let early = Buffer.alloc(0);
  const take = ({ output, events }: Step<FrontEvent>): void => {
    outcome.sent += Buffer.from(output).toString('hex');
    for (const event of events) {
      outcome.kinds.push(event.kind === 'ended' ? `ended ${event.how} at ${event.at}` : event.kind);
      if (event.kind === 'connectionRequest') outcome.request = Buffer.from(event.bytes).toString('hex');
      if (event.kind === 'connectInitial') outcome.connectInitial = Buffer.from(event.bytes).toString('hex');
      if (event.kind === 'startTls') early = Buffer.concat([early, event.early]);
    }
  };
  const feed = (bytes: Uint8Array): void => {
    for (const piece of pieces(bytes, sizes)) {
      if (front.state === 'tls') early = Buffer.concat([early, piece]);
      else take(front.step(piece));
      piece.fill(0xee);
    }
  };
  feed(before);
  if (front.state === 'decision') {
    take(answer === 'refuseFirst' ? front.refuse(ErrorInfo.serverDeniedConnection.code) : front.accept(3));
    outcome.early = early.toString('hex');
    take(front.tlsEstablished());
    feed(secured);
    if (answer === 'refuseLast') take(front.refuse(ErrorInfo.serverDeniedConnection.code));
    outcome.handedOver = Buffer.from(front.handOver()).toString('hex');
  }
  return outcome;
}

const anySizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 41, max: 9000 })), {
  minLength: 1,
  maxLength: 12,
});
const anyAnswer = fc.constantFrom('handOver' as const, 'refuseFirst' as const, 'refuseLast' as const);

test('there are real handshakes to try', () => assert.ok(handshakes.length >= 20, `${handshakes.length}`));

test('any pieces of a real handshake end the same, with and without TLS right behind the request', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...handshakes),
      anySizes,
      anyAnswer,
      fc.integer({ min: 0, max: clientHello.length }),
      ({ request, secured }, sizes, answer, earlyBytes) => {
        const before = Buffer.concat([request, clientHello.subarray(0, earlyBytes)]);
        const first = answer === 'refuseFirst' ? secured : secured.subarray(0, 2000);
        assert.deepEqual(play(before, first, sizes, answer), play(before, first, [1 << 20], answer));
      },
    ),
    { numRuns: 300 },
  );
});

test('a client with TLS begins with its MCS Connect Initial, and all it said is handed over', () => {
  const tried = handshakes.filter(({ secured }) => secured[0] === 3);
  assert.ok(tried.length >= 15);
  for (const { name, request, secured } of tried) {
    const length = secured.readUInt16BE(2);
    const outcome = play(Buffer.concat([request, clientHello]), secured.subarray(0, length), [5], 'handOver');
    assert.deepEqual(outcome.kinds, ['connectionRequest', 'startTls', 'connectInitial'], name);
    assert.equal(outcome.request, request.toString('hex'), name);
    assert.equal(outcome.early, clientHello.toString('hex'), name);
    assert.equal(outcome.connectInitial, secured.toString('hex', 0, length), name);
    assert.equal(outcome.handedOver, outcome.connectInitial, name);
  }
});

/** A client that answers, carried to its end against `front`. */
function converse(
  front: Front,
  refuseAt: 'decision' | 'tls' | 'connectInitial' | 'begun',
): { errorInfo: number; how: string } {
  const client = new Connector({ desktopWidth: 800, desktopHeight: 600, routing: { kind: 'mstshash', name: 'a' } });
  const result = { errorInfo: 0, how: '' };
  const code = ErrorInfo.cbDestinationNotFound.code;
  let toFront = [client.start().output];
  const fromFront = ({ output, events }: Step<FrontEvent>): void => {
    if (output.length > 0) {
      const { output: answer, events: heard } = client.step(output);
      toFront.push(answer);
      for (const event of heard) if (event.kind === 'errorInfo') result.errorInfo = event.code;
    }
    for (const event of events) {
      if (event.kind === 'ended') result.how = event.how;
      if (event.kind === 'startTls') {
        if (refuseAt === 'tls') fromFront(front.refuse(code));
        const partly = refuseAt === 'connectInitial';
        fromFront(front.tlsEstablished());
        const initial = client.tlsEstablished().output;
        if (partly) {
          fromFront(front.step(initial.subarray(0, 100)));
          fromFront(front.refuse(code));
        }
        toFront.push(partly ? initial.subarray(100) : initial);
      }
      if (event.kind === 'connectionRequest') fromFront(refuseAt === 'decision' ? front.refuse(code) : front.accept(1));
      if (event.kind === 'connectInitial' && refuseAt === 'begun') fromFront(front.refuse(code));
    }
  };
  for (let round = 0; round < 100 && toFront.length > 0; round += 1) {
    const bytes = Buffer.concat(toFront);
    toFront = [];
    if (bytes.length > 0) fromFront(front.step(bytes));
  }
  return result;
}

for (const at of ['decision', 'tls', 'connectInitial', 'begun'] as const)
  test(`a client that is refused at ${at} is told why`, () => {
    assert.deepEqual(converse(new Front(), at), { errorInfo: ErrorInfo.cbDestinationNotFound.code, how: 'refused' });
  });

const request = Buffer.from('030000130ee000000000000100080001000000', 'hex');

test('what is no RDP ends at its first byte', () => {
  for (const first of ['G', '\x16', '\x00', '\x04']) {
    const { events } = new Front().step(Buffer.from(first, 'latin1'));
    assert.deepEqual(
      events.map((event) => event.kind === 'ended' && [event.how, event.at]),
      [['garbage', 'connectionRequest']],
    );
  }
  // A TPKT and one byte more in the same segment: it once kept the whole gateway busy for ever.
  const { events } = new Front().step(Buffer.from('0300000b06e0000000000000', 'hex'));
  assert.equal(events.at(-1)?.kind === 'ended' && events.at(-1)?.kind, 'ended');
});

test('garbage after the request is distinguished from the start of TLS', () => {
  const garbage = new Front().step(Buffer.concat([request, Buffer.from('GET /')])).events;
  assert.deepEqual(
    garbage.map((event) => event.kind),
    ['ended'],
  );
  const front = new Front();
  front.step(request);
  assert.deepEqual(
    front.step(Buffer.from([0])).events.map((event) => event.kind === 'ended' && event.how),
    ['garbage'],
  );
  const hello = new Front();
  hello.step(request);
  assert.deepEqual(hello.step(clientHello).events, []);
});

test('a client without TLS is told so in the only way it knows', () => {
  const { output, events } = new Front().step(Buffer.from('030000130ee000000000000100080000000000', 'hex'));
  assert.equal(Buffer.from(output).toString('hex'), '030000130ed000001234000300080001000000');
  assert.deepEqual(
    events.map((event) => event.kind === 'ended' && event.how),
    ['noTls'],
  );
});

test('before it is answered somebody else may go on with what came behind the request', () => {
  const front = new Front();
  const early = Uint8Array.of(0x16, 3, 1, 0, 5);
  front.step(Buffer.concat([request, early]));
  assert.deepEqual(front.handOver(), early);
  assert.equal(front.state, 'handedOver');
  assert.deepEqual(front.step(early), { output: new Uint8Array(0), events: [] });
});

test('leaving, being late and failing at TLS end it once, wherever it stands', () => {
  for (const how of ['left', 'late', 'tlsFailed'] as const) {
    const front = new Front();
    front.step(request);
    front.accept(0);
    const { events } = front.stop(how, 'why');
    assert.deepEqual(events, [{ kind: 'ended', how, at: 'tls', problem: 'why' }]);
    assert.deepEqual(front.stop('left', '').events, []);
    assert.deepEqual(front.step(request), { output: new Uint8Array(0), events: [] });
    assert.equal(front.handOver().length, 0);
  }
});

test('a client that does not stop talking is ended, whatever it says', () => {
  const endless = (front: Front, more: Uint8Array): number => {
    for (let bytes = 0; ; bytes += more.length) {
      if (front.step(more).events.some((event) => event.kind === 'ended')) return bytes;
      assert.ok(bytes < 1 << 20, `still ${front.state}`);
    }
  };
  const waiting = new Front();
  waiting.step(request);
  assert.ok(endless(waiting, clientHello) < 32_000);
  const begun = new Front();
  begun.step(request);
  begun.accept(0);
  begun.tlsEstablished();
  assert.ok(endless(begun, Uint8Array.of(3, 0, 0x3f, 0xff)) < 32_000);
  const refused = new Front();
  refused.step(request);
  refused.refuse(1);
  refused.tlsEstablished();
  assert.ok(endless(refused, Buffer.concat([Buffer.from('0300000802f08004', 'hex')])) < 300_000);
});

const garbledHandshake = fc
  .record({
    handshake: fc.constantFrom(...handshakes),
    keep: fc.integer({ min: 0, max: 4000 }),
    flips: fc.array(fc.tuple(fc.nat(4000), fc.integer({ min: 1, max: 255 })), { maxLength: 6 }),
    tail: fc.uint8Array({ maxLength: 200 }),
  })
  .map(({ handshake, keep, flips, tail }) => {
    const spoil = (bytes: Buffer): Buffer => {
      const spoilt = Buffer.concat([bytes.subarray(0, keep), tail]);
      for (const [at, bits] of flips) if (at < spoilt.length) spoilt[at]! ^= bits;
      return spoilt;
    };
    return { request: spoil(handshake.request), secured: spoil(handshake.secured), confirm: spoil(handshake.confirm) };
  });

test('prefixes, mutations and random bytes neither throw nor depend on how they are cut', () => {
  fc.assert(
    fc.property(garbledHandshake, anySizes, anyAnswer, fc.boolean(), (garbled, sizes, answer, isWhole) => {
      const before = isWhole ? request : garbled.request;
      const whole = play(before, garbled.secured, [1 << 20], answer);
      const cut = play(before, garbled.secured, sizes, answer);
      // Where it can't go on it ends at the first byte that says so: what came behind may have been taken or not.
      assert.equal(cut.kinds.at(-1)?.replace(/ at .*/, ''), whole.kinds.at(-1)?.replace(/ at .*/, ''));
      assert.ok(cut.sent.length / 2 <= 2 * (before.length + garbled.secured.length) + 4096);
    }),
    { numRuns: 1000 },
  );
});

function reach(sizes: readonly number[], confirm: Uint8Array, later: Uint8Array = new Uint8Array(0)): string[] {
  const target = new Target(1);
  const said: string[] = [];
  const take = ({ events }: Step<TargetEvent>): void => {
    for (const event of events) said.push(event.kind === 'ended' ? `ended ${event.how}` : event.kind);
  };
  take(target.start());
  for (const piece of pieces(confirm, sizes)) {
    take(target.step(piece));
    piece.fill(0xee);
  }
  take(target.tlsEstablished(new Uint8Array(0)));
  for (const piece of pieces(later, sizes)) take(target.step(piece));
  return said.concat(`${target.state === 'ended' ? '' : Buffer.from(target.handOver()).toString('hex')}`);
}

test('real confirms lead to a target that is ready, in any pieces', () => {
  const confirms = handshakes.filter(({ confirm }) => confirm.length === 19 && confirm[15] === 1);
  assert.ok(confirms.length >= 15);
  fc.assert(
    fc.property(fc.constantFrom(...confirms), anySizes, ({ confirm }, sizes) => {
      assert.deepEqual(reach(sizes, confirm), ['startTls', 'ready', '']);
    }),
    { numRuns: 60 },
  );
});

const confirmed = Buffer.from('030000130ed000001234000200080001000000', 'hex');
const failed = (code: number): Buffer => Buffer.from(`030000130ed00000123400030008000${code}000000`, 'hex');

for (const [what, bytes, end] of [
  ['demands NLA', failed(5), 'nlaRequired'],
  ['demands TLS with user authentication', failed(6), 'nlaRequired'],
  ['has no TLS', failed(2), 'noTls'],
  ['has no certificate', failed(3), 'noTls'],
  ['finds our flags inconsistent', failed(4), 'negotiationFailed'],
  ['knows no negotiation', Buffer.from('0300000b06d00000000000', 'hex'), 'noTls'],
  ['answers with a protocol nobody asked for', Buffer.from('030000130ed000001234000200080002000000', 'hex'), 'noTls'],
  ['is a web server', Buffer.from('HTTP/1.1 400 Bad Request\r\n'), 'notRdp'],
  ['goes on behind its confirm', Buffer.concat([confirmed, Buffer.from([0])]), 'notRdp'],
  ['sends an endless confirm', Buffer.from('0300ffff', 'hex'), 'notRdp'],
] as const)
  test(`a target that ${what}`, () => {
    for (const sizes of [[1], [1000]])
      assert.ok(
        reach(sizes, bytes).includes(`ended ${end}`) ||
          // Cut at the end of the confirm, what follows is TLS's to judge.
          (end === 'notRdp' && bytes.length === confirmed.length + 1 && sizes[0] === 1),
        `${reach(sizes, bytes)}`,
      );
  });

test('a target without TLS is ready at once, when that is what was asked for', () => {
  const target = new Target(0);
  assert.equal(Buffer.from(target.start().output).toString('hex'), '0300000b06e00000000000');
  const { events } = target.step(Buffer.from('0300000b06d00000000000', 'hex'));
  assert.deepEqual(
    events.map((event) => event.kind),
    ['ready'],
  );
});

test('which machine of a host is meant is said before RDP begins', () => {
  const target = new Target(1, { preconnection: { flags: 0, id: 0, blob: 'a-machine' } });
  const { output } = target.start();
  target.step(confirmed);
  const [ready] = target.tlsEstablished(new Uint8Array(0)).events;
  assert.equal(ready?.kind, 'ready');
  const { preconnection, request } = ready.kind === 'ready' ? ready.hello : assert.fail();
  assert.deepEqual(decode(preconnectionPdu, preconnection), { flags: 0, id: 0, blob: 'a-machine' });
  assert.deepEqual(output, new Uint8Array(Buffer.concat([preconnection, request])));
});

test('a target that talks before the client does is kept within bounds', () => {
  assert.deepEqual(reach([7], confirmed, Buffer.from('hello')), ['startTls', 'ready', '68656c6c6f']);
  assert.deepEqual(reach([1000], confirmed, Buffer.alloc(5000)), ['startTls', 'ready', 'ended notRdp', '']);
});

test('a target that leaves or is late has ended', () => {
  const target = new Target(1);
  target.start();
  assert.deepEqual(target.stop('late', 'why').events, [
    { kind: 'ended', how: 'late', at: 'connectionConfirm', problem: 'why' },
  ]);
  assert.deepEqual(target.step(confirmed).events, []);
});

test('nothing a target sends makes it throw', () => {
  fc.assert(
    fc.property(garbledHandshake, anySizes, fc.uint8Array({ maxLength: 300 }), ({ confirm }, sizes, random) => {
      reach(sizes, confirm, random);
      reach(sizes, random, confirm);
    }),
    { numRuns: 500 },
  );
});
