/** The recorder's clock against servers that are right, lie, are silent, answer somebody else or send away. */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Admission, RecorderReport, RecordingFact } from '@lucid-sessions/contract';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { eventually, type NtpBehaviour, NtpServer } from '@lucid-sessions/testkit';
import fc from 'fast-check';
import { askChrony, readTracking } from '../src/clock/chrony-source.ts';
import { agreementOf, medianOf } from '../src/clock/clock-agreement.ts';
import { type ClockCheck, ClockWatch } from '../src/clock/clock-watch.ts';
import { ntpRequest, readNtpAnswer } from '../src/clock/ntp-packet.ts';
import { askNtp } from '../src/clock/ntp-source.ts';
import { readRecorderEnv } from '../src/index.ts';
import { startGateway, ticketFor } from './gateway-kit.ts';
import { temporaryDirectory } from './spool-kit.ts';

const wallUs = () => (performance.timeOrigin + performance.now()) * 1000;

async function server(t: TestContext, behaviour: Partial<NtpBehaviour> = {}): Promise<NtpServer> {
  const made = await NtpServer.start(behaviour);
  t.after(() => made.stop());
  return made;
}

const ask = ({ port }: { port: number }, timeoutMs = 20_000) =>
  askNtp({ host: '127.0.0.1', port }, { wallUs, timeoutMs });

/** The offset may be wrong by what the answer says it may. */
function assertAhead({ offsetUs, errorUs }: { offsetUs: number; errorUs: number }, aheadMs: number): void {
  assert.ok(Math.abs(offsetUs - aheadMs * 1000) <= errorUs, `${offsetUs} ± ${errorUs} is not ${aheadMs} ms`);
}

test('a server that is ahead or behind is measured, within the error it says', async (t) => {
  for (const aheadMs of [0, 1500, -86_400_000]) {
    const sample = await ask(await server(t, { aheadMs, rootDelayMs: 40, rootDispersionMs: 25 }));
    assertAhead(sample, aheadMs);
    assert.ok(sample.errorUs >= 45_000, 'half of the delay to its own source, and its dispersion');
  }
});

test('what is no answer to our question is passed over; what is not to be used is refused by name', async (t) => {
  assertAhead(await ask(await server(t, { answers: 'both', aheadMs: 200 })), 200);
  const refused: [Partial<NtpBehaviour>, RegExp][] = [
    [{ answers: 'silent' }, /does not answer/],
    [{ answers: 'foreign' }, /does not answer/],
    [{ answers: 'kiss' }, /sends us away \(RATE\)/],
    [{ leap: 3 }, /not set/],
    [{ stratum: 16 }, /not set/],
    [{ rootDispersionMs: 20_000 }, /too far/],
  ];
  for (const [behaviour, message] of refused) {
    const isSilent = behaviour.answers === 'silent' || behaviour.answers === 'foreign';
    await assert.rejects(ask(await server(t, behaviour), isSilent ? 300 : 20_000), message);
  }
  const gone = await NtpServer.start();
  const { port } = gone;
  await gone.stop();
  await assert.rejects(ask({ port }), /nothing listens there/);
});

test('no bytes are an answer but those of a server, to this question; its seconds are of the era that is near', () => {
  const nonce = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(ntpRequest(nonce).subarray(40), nonce);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      const read = readNtpAnswer(bytes, nonce, 0);
      assert.ok(read === null || Buffer.from(bytes.subarray(24, 32)).equals(Buffer.from(nonce)));
    }),
  );
  // 2036-02-07 06:28:16 is second 0 of the next era.
  const packet = new Uint8Array(48);
  packet.set([0x24, 1, 6, 0xec]);
  packet.set(nonce, 24);
  for (const at of [32, 40]) new DataView(packet.buffer).setUint32(at, 10);
  const read = readNtpAnswer(packet, nonce, Date.UTC(2036, 1, 7, 6, 28, 20) * 1000);
  assert.ok(read !== null && typeof read === 'object');
  assert.equal(read.sentUs, Date.UTC(2036, 1, 7, 6, 28, 26) * 1000);
});

test('the majority is believed, whatever the others say', () => {
  assert.equal(medianOf([5, 1, 3]), 3);
  assert.equal(medianOf([4, 1]), 2.5);
  const [first, second] = [
    { offsetUs: 100, errorUs: 50 },
    { offsetUs: 140, errorUs: 30 },
  ] as const;
  const found = agreementOf([first, { offsetUs: 3_600_000_000, errorUs: 10 }, second]);
  assert.deepEqual(found, { offsetUs: 120, errorUs: 50, agreeing: [0, 2] });
  assert.equal(agreementOf([first, second], 4), null, 'two of four are no majority');
  assert.equal(agreementOf([first, { offsetUs: 900, errorUs: 1 }]), null);
  assert.equal(agreementOf([]), null);
  const honestOnes = fc.array(fc.record({ off: fc.integer({ min: -99, max: 99 }), more: fc.nat(50) }), {
    minLength: 1,
    maxLength: 6,
  });
  const anyOnes = fc.array(fc.record({ offsetUs: fc.integer({ min: -1000, max: 1000 }), errorUs: fc.nat(300) }), {
    maxLength: 5,
  });
  fc.assert(
    fc.property(fc.integer({ min: -500, max: 500 }), honestOnes, anyOnes, (truth, honest, liars) => {
      const told = honest.map(({ off, more }) => ({ offsetUs: truth + off, errorUs: Math.abs(off) + more }));
      const lies = liars.slice(0, honest.length - 1);
      const agreed = agreementOf([...lies, ...told]);
      assert.ok(agreed !== null, 'honest ones always agree');
      if (lies.length === 0) assert.ok(Math.abs(agreed.offsetUs - truth) <= agreed.errorUs);
    }),
  );
});

test('of three servers one lies or is silent, and the watch says who agrees', async (t) => {
  const servers = [
    await server(t, { aheadMs: 40 }),
    await server(t, { aheadMs: 41 }),
    await server(t, { aheadMs: 42 }),
  ] as const;
  const problems: string[] = [];
  const checks: ClockCheck[] = [];
  const watch = new ClockWatch({
    sources: servers.map((each, at) => ({ name: `s${at}`, ask: () => ask(each, 2000) })),
    everyMs: 3_600_000,
    offsetUsMax: 10_000_000,
    wallUs,
    onCheck: (check) => checks.push(check),
    onProblem: (message) => problems.push(message),
  });
  t.after(() => watch.stop());
  assert.match(watch.problem ?? '', /not compared with another yet/);
  await watch.start();
  assertAhead({ offsetUs: watch.last!.offsetUs!, errorUs: watch.last!.errorUs! + 2000 }, 41);
  servers[1].behaviour.aheadMs = 3_600_000;
  await watch.check();
  assert.deepEqual([watch.last!.source, watch.problem, watch.agreeing], ['s0, s2 (2 of 3 agree)', null, 2]);
  servers[1].behaviour.answers = 'silent';
  await watch.check();
  assert.equal(watch.last!.source, 's0, s2 (2 of 3 agree)');
  servers[0].behaviour.aheadMs = -50_000;
  await watch.check();
  assert.deepEqual([watch.last!.offsetUs, watch.agreeing, problems.length], [null, 0, 1]);
  assert.match(problems[0]!, /no majority/);
  for (const each of servers) each.behaviour.answers = 'silent';
  await watch.check();
  assert.match(watch.last!.source, /s0: it does not answer; s1/);
  for (const each of servers) Object.assign(each.behaviour, { answers: 'right', aheadMs: 60_000 });
  await watch.check();
  assert.match(
    watch.problem ?? '',
    /^the clock is (59|60)\d{3}\.\d{3} ms behind, by s0, s1, s2 \(3 of 3 agree\); 10000\.000 ms are the bound/,
  );
  assert.equal(checks.length, 6);
});

test('chrony: its own words, one that is not synchronised, and none', async (t) => {
  // As chronyc 4.3 answers of a chronyd that follows a server 250 ms ahead ("0.250102997 seconds slow of NTP time").
  const real =
    '7F000001,127.0.0.1,3,1796079395.123465331,0.250102997,-0.250102997,0.250102997,0.000,594.312,1000000.000,0.001430351,0.166442633,0.0,Normal';
  assert.deepEqual(readTracking(real), { offsetUs: 250_103, errorUs: 167_158 });
  assert.throws(
    () => readTracking(real.replace(',3,', ',0,').replace('Normal', 'Not synchronised')),
    /not synchronised/,
  );
  assert.throws(() => readTracking('506 Cannot talk to daemon'), /something else/);
  await assert.rejects(askChrony(1000, join(temporaryDirectory(t), 'none')), /there is no chronyc/);
  const command = join(temporaryDirectory(t), 'chronyc');
  writeFileSync(command, `#!/bin/sh\n[ "$*" = "-n -c tracking" ] && echo '${real}'\n`);
  chmodSync(command, 0o755);
  assert.deepEqual(await askChrony(10_000, command), { offsetUs: 250_103, errorUs: 167_158 });
});

const isCheck = (report: RecorderReport): report is RecorderReport & { kind: 'fact'; fact: RecordingFact } =>
  report.kind === 'fact' && report.fact.kind === 'clock_check';

test('a recorder compares before it records and while it does; above the bound it says so and takes no session', async (t) => {
  const ntp = await server(t, { aheadMs: 5 });
  const target = await startDesktop();
  t.after(() => target.stop());
  const admit = (): Admission => ({ admitted: true, ticket: ticketFor(target.port) });
  const sources = [{ host: '127.0.0.1', port: ntp.port }];
  const clock = { sources, everyMs: 1000, offsetUsMax: 1_000_000, required: true };
  const gateway = await startGateway(t, { admit, config: { clock } });
  assert.ok(ntp.requestsCount >= 1, 'before anybody connects');
  const rdp = await connectClient({ port: gateway.port, cookie: 'alice', userName: 'alice', password: 'x' });
  t.after(() => rdp.destroy());
  await gateway.reported('started');
  const facts = (count: number) =>
    eventually(`${count} comparisons`, async () => {
      const found = gateway.reports.filter(isCheck);
      return found.length >= count && found.map(({ fact }) => fact);
    });
  const [first] = await facts(1);
  assert.ok(first?.kind === 'clock_check' && first.offsetUs !== null && first.errorUs !== null);
  assertAhead({ offsetUs: first.offsetUs, errorUs: first.errorUs }, 5);
  ntp.behaviour.aheadMs = 60_000;
  const second = (await facts(2)).at(-1);
  assert.ok(second?.kind === 'clock_check' && second.offsetUs !== null && second.offsetUs > 50_000_000);
  const { status, message, details } = await gateway.recorder.port.health();
  assert.equal(status, 'degraded');
  assert.match(message ?? '', /the clock is \d+\.\d{3} ms behind/);
  assert.ok(Number(details.clockOffsetMs) > 50_000 && Number(details.clockErrorMs) > 0);
  assert.equal(details.clockSourcesAgreeing, 1);
  assert.match(gateway.problems.join('\n'), /the clock is/);
  await rdp.close();
  await gateway.reported('ended');
  const late = await connectClient({ port: gateway.port, cookie: 'bob', userName: 'bob', password: 'x' }).catch(
    () => null,
  );
  t.after(() => late?.destroy());
  assert.match((await gateway.attempted()).message, /the clock is/);
});

test('sources and bounds come from the environment, and what is none is told', () => {
  const base = { LUCID_DATA_DIR: '/tmp/x', LUCID_SERVICE_SECRET: 'x'.repeat(40) };
  const read = (more: Record<string, string>) => readRecorderEnv({ ...base, ...more }).clock;
  assert.deepEqual(read({})?.sources, []);
  const sources = 'ntp.example, 10.0.0.1:1123,[::1]:5,chrony';
  assert.deepEqual(read({ LUCID_CLOCK_SOURCES: sources, LUCID_CLOCK_REQUIRED: 'on' }), {
    sources: [{ host: 'ntp.example', port: 123 }, { host: '10.0.0.1', port: 1123 }, { host: '::1', port: 5 }, 'chrony'],
    everyMs: 128_000,
    offsetUsMax: 1_000_000,
    required: true,
  });
  const wrong: Record<string, string>[] = [
    { LUCID_CLOCK_SOURCES: 'a b' },
    { LUCID_CLOCK_SOURCES: 'a:0' },
    { LUCID_CLOCK_SOURCES: Array(17).fill('a').join() },
    { LUCID_CLOCK_REQUIRED: 'on' },
    { LUCID_CLOCK_REQUIRED: 'yes', LUCID_CLOCK_SOURCES: 'a' },
    { LUCID_CLOCK_EVERY_SECONDS: '0', LUCID_CLOCK_SOURCES: 'a' },
  ];
  for (const more of wrong) assert.throws(() => read(more), { name: 'EnvironmentError' }, JSON.stringify(more));
});
