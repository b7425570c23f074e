/** The door's parts by themselves: room per address, what is told of connections that became nothing, peers that are gone. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import type { ConnectionAttempt } from '@lucid-sessions/contract';
import fc from 'fast-check';
import { AttemptBook, printable } from '../src/front-door/attempt-book.ts';
import { clientGroup, DoorLimits } from '../src/front-door/door-limits.ts';
import { Driver, type EndedEvent } from '../src/front-door/driver.ts';
import { LogonLimits } from '../src/front-door/logon-limits.ts';
import { Notice } from '../src/front-door/notice.ts';
import { kernelName, PeerWatch, unanswered } from '../src/front-door/peer-watch.ts';
import { certificateProblem, tlsProblem } from '../src/front-door/tls-problem.ts';

const limits = (more: Partial<ConstructorParameters<typeof DoorLimits>[0]> = {}) =>
  new DoorLimits({ waitingPerAddressMax: 4, waitingMax: 10, perSecondMax: 2, nowMs: () => 0, ...more });

class Held {
  destroyed = false;
  destroy(): void {
    this.destroyed = true;
  }
}

test('an address gets so many waiting connections and no more, others are not touched', () => {
  const door = limits();
  const held = Array.from({ length: 6 }, () => new Held());
  assert.deepEqual(
    held.map((connection) => door.enter('a', connection)),
    [true, true, true, true, false, false],
  );
  assert.equal(door.enter('b', new Held()), true);
  assert.equal(door.waitingCount, 5);
  door.leave('a', held[0]!);
  door.leave('a', held[0]!);
  assert.equal(door.waitingCount, 4);
});

test('so many may come at once as may wait, then so many a second', () => {
  let nowMs = 0;
  const door = limits({ nowMs: () => nowMs });
  const pass = (): boolean => {
    const connection = new Held();
    const entered = door.enter('a', connection);
    door.leave('a', connection);
    return entered;
  };
  assert.deepEqual(Array.from({ length: 6 }, pass), [true, true, true, true, false, false]);
  nowMs = 1000;
  assert.deepEqual([pass(), pass(), pass()], [true, true, false]);
  nowMs = 1_000_000;
  assert.deepEqual(Array.from({ length: 5 }, pass), [true, true, true, true, false]);
});

test('when all places are taken, the address with the most gives up its oldest', () => {
  const door = limits();
  const a = Array.from({ length: 4 }, () => new Held());
  for (const connection of a) door.enter('a', connection);
  for (const name of ['b', 'c', 'd']) for (let i = 0; i < 2; i += 1) door.enter(name, new Held());
  assert.equal(door.waitingCount, 10);
  assert.equal(door.enter('e', new Held()), true);
  assert.deepEqual(
    a.map(({ destroyed }) => destroyed),
    [true, false, false, false],
  );
  assert.equal(door.waitingCount, 10);
  // The one that has the most gets none of another's.
  assert.equal(door.enter('a', new Held()), false);
});

test('whatever comes and goes, the count is that of those who wait', () => {
  const event = fc.record({ group: fc.constantFrom('a', 'b', 'c'), leave: fc.boolean(), atMs: fc.nat(50) });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 200 }), (events) => {
      let nowMs = 0;
      const door = limits({ nowMs: () => nowMs, perSecondMax: 100, waitingMax: 7 });
      const inside: { group: string; held: Held }[] = [];
      for (const { group, leave, atMs } of events) {
        nowMs += atMs;
        const held = new Held();
        if (leave && inside.length > 0) {
          const gone = inside.shift()!;
          door.leave(gone.group, gone.held);
        } else if (door.enter(group, held)) inside.push({ group, held });
        const waiting = inside.filter((one) => !one.held.destroyed);
        assert.equal(door.waitingCount, waiting.length);
        assert.ok(waiting.length <= 7);
      }
    }),
    { numRuns: 100 },
  );
});

for (const [address, group] of [
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '20010db800010002/64'],
  ['2001:DB8:1:2::', '20010db800010002/64'],
  ['fe80::1%eth0', 'fe80000000000000/64'],
  ['::1', '0000000000000000/64'],
  ['64:ff9b::192.0.2.7', '192.0.2.7'],
  ['unknown', 'unknown'],
] as const)
  test(`${address} counts as ${group}`, () => assert.equal(clientGroup(address), group));

const attempt = (more: Partial<ConnectionAttempt> = {}): ConnectionAttempt => ({
  connectionId: 'c',
  sessionId: null,
  atUs: 1,
  clientAddress: '192.0.2.7:1234',
  clientName: null,
  outcome: 'refused',
  reason: 'unknown_session',
  message: 'no session has this route',
  count: 1,
  ...more,
});

function book() {
  const told: ConnectionAttempt[] = [];
  const lines: string[] = [];
  let ids = 0;
  const kept = new AttemptBook({
    tell: (one) => told.push(one),
    newId: () => `own-${ids++}`,
    wallUs: () => 5,
    log: (line) => lines.push(line),
  });
  return { kept, told, lines };
}

test('the first of a kind is reported at once, those after it together, and each releases what it reserved', () => {
  const { kept, told, lines } = book();
  for (let i = 0; i < 20; i += 1)
    kept.attempt(attempt({ connectionId: `c${i}`, clientAddress: `192.0.2.7:${i}`, sessionId: 's' }), 'why');
  assert.equal(lines.length, 1);
  assert.equal(lines[0], 'refused 192.0.2.7:0: session s: no session has this route [why]');
  kept.turnPage();
  const audited = told.filter(({ count }) => count > 0);
  assert.deepEqual(
    audited.map(({ connectionId, count }) => [connectionId, count]),
    [
      ['c0', 1],
      ['own-0', 19],
    ],
  );
  assert.equal(told.filter(({ count }) => count === 0).length, 19);
  assert.equal(kept.counts.connectionsRefused, 20);
  kept.turnPage();
  assert.equal(lines.length, 2);
});

test('a flood from everywhere is told in a bounded number of lines', () => {
  const { kept, lines } = book();
  for (let i = 0; i < 5000; i += 1)
    kept.attempt(attempt({ clientAddress: `198.51.${i >> 8}.${i & 255}:1`, connectionId: `c${i}` }), '');
  assert.equal(lines.length, 1001);
});

test('probes are counted by kind and told in one line a minute', () => {
  const { kept, told, lines } = book();
  for (let i = 0; i < 30; i += 1) kept.probe('x224', '192.0.2.7:1');
  kept.probe('tcp', '192.0.2.8:1');
  kept.turnPage();
  assert.deepEqual(lines, ['probes in a minute, by addresses: 30 x224 from 1, 1 tcp from 1']);
  assert.deepEqual([told.length, kept.counts.probes_x224, kept.counts.probes_tcp], [0, 30, 1]);
});

test('what a client calls itself can not forge a line', () => {
  assert.equal(printable('a\nrefused 1.2.3.4\u001b[2J\u202e'), 'a?refused 1.2.3.4?[2J?');
  const { kept, lines } = book();
  kept.attempt(attempt({ clientName: 'x\r\nsession 1 ended', outcome: 'client_left', sessionId: 's' }), '');
  assert.equal(lines[0], 'left: 192.0.2.7:1234 (x??session 1 ended): session s: no session has this route');
});

const socket = (bytesRead = 0) => {
  const one = {
    localAddress: '127.0.0.1',
    localPort: 3389,
    remoteAddress: '192.0.2.7',
    remotePort: 50_000,
    bytesRead,
    destroyed: false,
    once: () => one,
    destroy: () => {
      one.destroyed = true;
      return one;
    },
  };
  return one;
};

const table = (retransmits: number, timer = '01', probes = 0) =>
  `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   7: 0100007F:0D3D 070200C0:C350 01 00000100:00000000 ${timer}:00000014 ${retransmits.toString(16).padStart(8, '0').toUpperCase()}     0        ${probes} 14710 1 0 20 4 30 10 -1`;

test("the kernel's tables are read as it writes them", () => {
  assert.equal(kernelName('127.0.0.1', 3389), '0100007F:0D3D');
  assert.equal(kernelName('::ffff:127.0.0.1', 1), '0000000000000000FFFF00000100007F:0001');
  assert.deepEqual([...unanswered(table(11))], [['0100007F:0D3D 070200C0:C350', 11]]);
  assert.deepEqual(
    [...unanswered(table(0, '04', 5))].map(([, count]) => count),
    [5],
  );
  assert.equal(unanswered(`${table(0)}\nrubbish\n`).size, 0);
});

test('a peer that acknowledges nothing for a minute is let go, one that is slow is not', async () => {
  let nowMs = 0;
  let tables = table(0);
  const watch = new PeerWatch({ readTables: async () => tables, nowMs: () => nowMs });
  const look = async (atMs: number, text: string) => {
    nowMs = atMs;
    tables = text;
    await watch.look();
  };
  const peer = socket();
  watch.add(peer as unknown as Socket);
  await look(0, table(2));
  await look(30_000, table(6));
  await look(55_000, table(1));
  await look(100_000, table(6));
  assert.equal(peer.destroyed, false, 'it acknowledged something in between');
  peer.bytesRead = 9;
  await look(114_000, table(7));
  await look(140_000, table(8));
  assert.equal(peer.destroyed, false, 'it said something');
  await look(180_000, table(9));
  assert.equal(peer.destroyed, true);
});

test("OpenSSL's own words reach nobody", () => {
  const raw = Object.assign(
    new Error('80E2C2A6:error:0A00010B:SSL routines:tls_validate_record_header:wrong version number:ssl3_record.c:354'),
    { code: 'ERR_SSL_WRONG_VERSION_NUMBER' },
  );
  assert.equal(tlsProblem(raw), 'what it sends is not TLS');
  for (const code of ['ERR_SSL_NEVER_HEARD_OF', 'bad code\nforged', undefined, 5]) {
    const text = tlsProblem(Object.assign(new Error('error:0A:SSL routines:x'), { code }));
    assert.match(text, /^the TLS handshake failed \((ERR_SSL_NEVER_HEARD_OF|unknown)\)$/);
  }
  assert.equal(certificateProblem('CERT_HAS_EXPIRED'), 'it has expired (CERT_HAS_EXPIRED)');
  assert.equal(certificateProblem(new Error('Hostname/IP does not match')), "it can't be verified (unknown)");
});

test('an address may mistype so often, and again after a while; others are not touched', () => {
  let nowUs = 0;
  const logons = new LogonLimits(() => nowUs);
  for (let times = 0; times < 20; times++) {
    assert.equal(logons.mayTry('10.0.0.1:1'), true);
    logons.wentWrong(`10.0.0.1:${1 + times}`);
  }
  assert.equal(logons.mayTry('10.0.0.1:99'), false);
  assert.equal(logons.mayTry('10.0.0.2:1'), true);
  nowUs += 6_000_000;
  assert.equal(logons.mayTry('10.0.0.1:99'), true);
  logons.wentWrong('[2001:db8::1]:1');
  // The address that was quiet longest is forgotten: memory has a bound.
  for (let host = 0; host < 10_000; host++) logons.wentWrong(`10.1.${host >> 8}.${host & 255}:1`);
  assert.equal(logons.mayTry('10.0.0.1:99'), true);
});

test('what comes while nobody waits for it is the next one’s', async () => {
  const nothing = new Uint8Array(0);
  const heard = Promise.withResolvers<void>();
  const stream = new Duplex({ read: () => {}, write: (_bytes, _encoding, done) => done() });
  const driver = new Driver<EndedEvent | { kind: 'said'; text: string }>(
    stream,
    {
      step: (bytes) => {
        heard.resolve();
        return { output: nothing, events: [{ kind: 'said', text: Buffer.from(bytes).toString() }] };
      },
      tlsEstablished: () => ({ output: nothing, events: [] }),
      stop: (how, problem) => ({ output: nothing, events: [{ kind: 'ended', how, at: '', problem }] }),
      handOver: () => nothing,
    },
    {
      secure: () => {
        throw new Error('no TLS here');
      },
    },
  );
  assert.equal(await driver.nextWithin(1), null);
  stream.push('a click');
  await heard.promise;
  assert.deepEqual(await driver.nextWithin(0), { kind: 'said', text: 'a click' });
  const waiting = driver.nextWithin(60_000);
  stream.push('another');
  assert.deepEqual(await waiting, { kind: 'said', text: 'another' });
  const left = assert.rejects(driver.nextWithin(60_000), { name: 'SequenceEnded' });
  stream.destroy();
  await left;
});

test('who does not read what it is answered is let go before that fills our memory', async () => {
  const stream = new Duplex({ read: () => {}, write: () => {} });
  const mebibyte = { output: new Uint8Array(1 << 20), events: [] };
  const driver = new Driver<EndedEvent>(
    stream,
    {
      step: () => mebibyte,
      tlsEstablished: () => mebibyte,
      stop: (how, problem) => ({ output: new Uint8Array(0), events: [{ kind: 'ended', how, at: '', problem }] }),
      handOver: () => new Uint8Array(0),
    },
    {
      secure: () => {
        throw new Error('no TLS here');
      },
    },
  );
  for (let count = 0; count < 20; count += 1) stream.push('x');
  const { problem } = await driver.over.catch((error: { event: EndedEvent }) => error.event);
  assert.match(problem, /does not read/);
  assert.equal(stream.destroyed, true);
});

test('a message is drawn once and painted again as it is, however much the target draws', (t) => {
  t.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] });
  let canvas = { width: 640, height: 480, bitsPerPixel: 16 as const };
  let drawn = 0;
  const painted: (readonly Uint8Array[])[] = [];
  const notice = new Notice({
    canvas: () => canvas,
    paint: (updates) => painted.push(updates),
    pipelineCanvas: () => null,
    overlay: () => {},
    refresh: () => {},
    drawnCount: () => drawn++,
  });
  assert.equal(notice.show('ann:', 'hello', 20), true);
  t.mock.timers.tick(2000);
  assert.equal(painted.length, 5);
  assert.equal(new Set(painted).size, 1);
  canvas = { ...canvas, width: 800 };
  t.mock.timers.tick(500);
  notice.show('ann:', 'bye', 20);
  assert.equal(new Set(painted).size, 3);
  notice.stop();
});

test('over the graphics pipeline a message is handed over once for each size of the desktop, and taken back at its end', (t) => {
  t.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] });
  let area = { left: 0, top: 0, width: 640, height: 480 };
  let drawn = 0;
  const shown: (number | null)[] = [];
  const notice = new Notice({
    canvas: () => null,
    paint: () => assert.fail('bitmaps are not what is drawn'),
    pipelineCanvas: () => area,
    overlay: (picture) => shown.push(picture?.width ?? null),
    refresh: () => {},
    drawnCount: () => drawn++,
  });
  assert.equal(notice.show('ann:', 'hello', 20), true);
  t.mock.timers.tick(2000);
  area = { ...area, width: 800 };
  t.mock.timers.tick(18_000);
  assert.deepEqual(shown, [640, 800, null]);
});
