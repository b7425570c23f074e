/** When a ticket is used, what happens where there is none, and what its refusals are called. What is real stands in apps/lucid-sessions. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import type { RecordingFact } from '@lucid-sessions/contract';
import { connectClient } from '@lucid-sessions/desktop';
import { EnvironmentError } from '@lucid-sessions/kit';
import { NegotiationResponseFlag, Protocol } from '@lucid-sessions/rdp';
import type { KerberosProblem } from '@lucid-sessions/rdp/kerberos';
import { readKerberos } from '../src/config.ts';
import { dialTarget, resolveAll } from '../src/front-door/dial.ts';
import { ConnectFailure } from '../src/front-door/failure.ts';
import {
  type KerberosPolicy,
  type KerberosPort,
  kerberosFailure,
  kerberosSettings,
  type TicketAnswer,
  type TicketAsked,
} from '../src/front-door/kerberos.ts';
import { startGateway, ticketFor } from './gateway-kit.ts';
import { startNlaTarget } from './support/nla-target.ts';

const credentials = { username: 'alice', domain: 'LAB', password: 'correct horse' };

interface Dialled {
  method: string;
  facts: RecordingFact[];
  asked: TicketAsked[];
  error: ConnectFailure | null;
}

/** With a realm that answers every question with this. */
async function dial(
  t: TestContext,
  port: number,
  policy: KerberosPolicy,
  answer: TicketAnswer | KerberosPort['ticket'],
): Promise<Dialled> {
  const dialled: Dialled = { method: '', facts: [], asked: [], error: null };
  const ticket = async (asked: TicketAsked) => {
    dialled.asked.push(asked);
    return typeof answer === 'function' ? answer(asked) : answer;
  };
  try {
    const { driver, hello } = await dialTarget(
      { host: 'localhost', port, useTls: true, ignoreCert: true },
      {
        ...{ resolve: resolveAll, denied: () => null, credentials, wallUs: () => 1, timeoutMs: 20_000 },
        kerberos: { port: { ticket }, policy: () => policy, own: () => null },
        signal: new AbortController().signal,
        onFact: (fact) => dialled.facts.push(fact),
      },
    );
    t.after(() => driver.destroy('the test is over'));
    dialled.method = hello.logon?.method ?? 'none';
  } catch (error) {
    assert.ok(error instanceof ConnectFailure, String(error));
    dialled.error = error;
  }
  return dialled;
}

const failed = (how: KerberosProblem): TicketAnswer => ({ kind: 'failed', how, code: 7, problem: 'as it was' });
const downgrades = ({ facts }: Dialled): string[] =>
  facts.flatMap((fact) => (fact.kind === 'downgrade' ? [fact.what] : []));

test('without a ticket NTLM is used where it may be, and that is a fact', async (t) => {
  const target = await startNlaTarget(t);
  const fallen = await dial(t, target.port, 'prefer', failed('unknownService'));
  assert.equal(fallen.method, 'ntlm');
  assert.deepEqual(downgrades(fallen), ['NTLM to the target in place of Kerberos: as it was']);
  const local = await dial(t, target.port, 'prefer', { kind: 'notApplicable', problem: 'of no realm' });
  assert.equal(local.method, 'ntlm');
  assert.deepEqual(downgrades(local), []);
  const off = await dial(t, target.port, 'off', failed('unknownService'));
  assert.deepEqual([off.method, off.asked.length], ['ntlm', 0]);
});

test('what the realm refuses for good is not tried once more by NTLM', async (t) => {
  const target = await startNlaTarget(t);
  for (const how of ['wrongPassword', 'passwordExpired', 'accountRevoked', 'accountExpired'] as const) {
    const { error } = await dial(t, target.port, 'prefer', failed(how));
    assert.equal(error?.reason, kerberosFailure('', how, '').reason);
  }
  assert.deepEqual(target.events, []);
});

test('where Kerberos is all there may be nobody is told who logs on without it', async (t) => {
  const target = await startNlaTarget(t);
  const { error, asked } = await dial(t, target.port, 'require', failed('unknownService'));
  assert.equal(error?.reason, 'target_kerberos_failed');
  assert.match(error!.message, /knows no service TERMSRV for the target localhost:\d+;.*setspn.*\(Kerberos error 7\)/);
  assert.deepEqual([asked[0]?.host, asked[0]?.credentials], ['localhost', credentials]);
  const none = await dial(t, target.port, 'require', { kind: 'notApplicable', problem: 'of no realm' });
  assert.deepEqual([none.error?.reason, none.error?.detail], ['target_logon_failed', 'of no realm']);
  assert.deepEqual(target.events, []);
});

test('a target that wants no logon costs no question to a realm', async (t) => {
  const target = await startNlaTarget(t, { selected: Protocol.ssl });
  const { method, asked } = await dial(t, target.port, 'require', failed('unreachable'));
  assert.deepEqual([method, asked.length], ['none', 0]);
});

test('a target that leaves while its ticket is fetched did not finish the logon', async (t) => {
  const target = await startNlaTarget(t);
  const { error } = await dial(t, target.port, 'require', async ({ signal }) => {
    target.hangUp();
    await once(signal, 'abort');
    return failed('unreachable');
  });
  assert.equal(error?.reason, 'target_credssp_failed');
});

const nobody: KerberosPort = { ticket: async () => failed('refused') };

test('the policy is one word, and others for some targets', () => {
  const of = (text: string) => kerberosSettings(nobody, readKerberos({ LUCID_KERBEROS: text })).policy;
  assert.equal(kerberosSettings(nobody, readKerberos({})).policy({ host: 'a.test', port: 3389 }), 'off');
  const policy = of('prefer, *.bank.test=require, old.bank.test=off, 10.0.0.0/8=off, odd.test:3390=require');
  const asked = ['a.bank.test', 'old.bank.test', 'A.Test', '10.1.2.3', 'odd.test'];
  assert.deepEqual(
    asked.map((host) => policy({ host, port: 3389 })),
    // The first that names it holds.
    ['require', 'require', 'prefer', 'off', 'prefer'],
  );
  assert.equal(policy({ host: 'odd.test', port: 3390 }), 'require');
  for (const text of ['on', 'prefer,require', 'prefer,a.test=on', 'prefer,', 'off,=off'])
    assert.throws(() => of(text), EnvironmentError, text);
});

test('the gateway’s own account is for restricted admin on the targets it was given for, and never for NTLM', async (t) => {
  const rules = readKerberos({ LUCID_KERBEROS: 'prefer', LUCID_KERBEROS_KEYTAB_TARGETS: 'localhost,*.farm.test' });
  const asked: TicketAsked[] = [];
  const port: KerberosPort = {
    own: { username: 'gateway', domain: 'LAB.TEST' },
    ticket: async (question) => {
      asked.push(question);
      return failed('unknownService');
    },
  };
  const settings = kerberosSettings(port, rules);
  const own = { username: 'gateway', domain: 'LAB.TEST', password: '' };
  assert.deepEqual(settings.own({ host: 'a.farm.test', port: 3389 }), own);
  assert.equal(settings.own({ host: 'farm.other.test', port: 3389 }), null);
  assert.equal(kerberosSettings(nobody, rules).own({ host: 'localhost', port: 1 }), null);
  const flags = NegotiationResponseFlag.restrictedAdminModeSupported;
  const target = await startNlaTarget(t, { flags });
  const gatewayTo = async (restrictedAdmin: boolean) => {
    const more = restrictedAdmin ? { restrictedAdmin } : {};
    const ticket = ticketFor(target.port, {
      target: { host: 'localhost', port: target.port, useTls: true, ignoreCert: true, ...more },
    });
    const gateway = await startGateway(t, {
      admit: () => ({ admitted: true, ticket }),
      config: { kerberos: rules },
      deps: { kerberos: port },
    });
    await connectClient({ port: gateway.port, routingToken: 'token', password: 'typed by its user' }).catch(() => {});
    return gateway.attempted();
  };
  const refused = await gatewayTo(true);
  assert.deepEqual([refused.reason, asked.length], ['target_kerberos_failed', 1]);
  assert.deepEqual(asked[0]!.credentials, own);
  assert.notEqual((await gatewayTo(false)).reason, 'target_kerberos_failed');
  assert.equal(asked.length, 1);
  assert.deepEqual(target.events, []);
});
