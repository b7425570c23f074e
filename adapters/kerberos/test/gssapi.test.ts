/** Our contexts against the GSS-API of MIT: a service in Python accepts, opens, seals and signs, by each encryption. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { KerberosClient } from '@lucid-sessions/rdp/kerberos';
import { Kdc, skipUnlessPeers } from '@lucid-sessions/testkit';
import { KerberosTickets, parseKrb5Conf } from '../src/index.ts';

/** Debian's module is for Debian's Python. */
const python = '/usr/bin/python3';

/** Lines of a word and base64 in (- for nothing), one of base64 out; what goes wrong is a line that begins with !. */
const acceptor = `
import base64, sys, gssapi
name = gssapi.Name('TERMSRV@localhost', gssapi.NameType.hostbased_service)
context = gssapi.SecurityContext(creds=gssapi.Credentials(name=name, usage='accept'), usage='accept')
for line in sys.stdin:
    word, *rest = line.split()
    given = [base64.b64decode(one) for one in rest]
    try:
        if word == 'step': answer = context.step(given[0])
        elif word == 'who': answer = str(context.initiator_name).encode()
        elif word == 'unwrap':
            opened = context.unwrap(given[0]); answer = opened.message if opened.encrypted else b'in clear'
        elif word == 'wrap': answer = context.wrap(given[0], True).message
        elif word == 'sign': answer = context.get_signature(given[0])
        else: context.verify_signature(given[0], given[1]); answer = b'right'
        print(base64.b64encode(answer).decode(), flush=True)
    except gssapi.exceptions.GSSError as error:
        print('!' + type(error).__name__, flush=True)
`;

function skipWithoutPython(t: TestContext): boolean {
  if (skipUnlessPeers(t, 'kdc')) return true;
  if (spawnSync(python, ['-c', 'import gssapi']).status === 0) return false;
  const message = 'needs python3-gssapi: run .ci/install-peers';
  if (process.env.REQUIRE_PEERS === '1') throw new Error(`REQUIRE_PEERS=1, but this test ${message}`);
  t.skip(message);
  return true;
}

/** The service's side, in a process of its own. */
function startAcceptor(t: TestContext, kdc: Kdc, keytab: string) {
  const env = { PATH: process.env.PATH, KRB5_CONFIG: kdc.config, KRB5_KTNAME: keytab };
  const process_ = spawn(python, ['-c', acceptor], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => process_.kill());
  const lines = createInterface({ input: process_.stdout })[Symbol.asyncIterator]();
  return async (word: string, ...given: Uint8Array[]): Promise<Uint8Array> => {
    process_.stdin.write(
      `${[word, ...given.map((bytes) => Buffer.from(bytes).toString('base64') || '-')].join(' ')}\n`,
    );
    const line = String((await lines.next()).value);
    if (line.startsWith('!')) throw new Error(line.slice(1));
    return Uint8Array.from(Buffer.from(line, 'base64'));
  };
}

const names = [
  'aes256-cts-hmac-sha1-96',
  'aes128-cts-hmac-sha1-96',
  'aes256-cts-hmac-sha384-192',
  'aes128-cts-hmac-sha256-128',
];
for (const name of names)
  test(`MIT's GSS-API takes our ticket and tokens, and we take its: ${name}`, { timeout: 120_000 }, async (t) => {
    if (skipWithoutPython(t)) return;
    const kdc = await Kdc.start({ encryption: name });
    t.after(() => kdc.stop());
    kdc.addUser('alice', 'a word', '+requires_preauth');
    const keytab = kdc.addService('TERMSRV/localhost');
    const conf = parseKrb5Conf(readFileSync(kdc.config, 'utf8'));
    const answer = await new KerberosTickets({ conf, realms: new Map() }).ticket({
      credentials: { username: 'alice', domain: kdc.realm, password: 'a word' },
      ...{ host: 'localhost', timeoutMs: 20_000, signal: new AbortController().signal },
    });
    assert.ok(answer.kind === 'ticket', JSON.stringify(answer));
    const service = startAcceptor(t, kdc, keytab);
    const client = new KerberosClient(answer.ticket, answer.crypto);
    const sealing = client.accept(await service('step', client.first));
    assert.equal(new TextDecoder().decode(await service('who')), `alice@${kdc.realm}`);
    const list = Uint8Array.of(0x30, 1, 2);
    sealing.verifyMic(list, await service('sign', list));
    assert.equal(new TextDecoder().decode(await service('verify', list, sealing.mic(list))), 'right');
    for (const length of [0, 1, 15, 16, 17, 32, 300, 5000]) {
      const text = new Uint8Array(length).map((_, at) => at * 7);
      assert.deepEqual(await service('unwrap', sealing.seal(text)), text);
      assert.deepEqual(sealing.open(await service('wrap', text)), text);
    }
    const spoilt = sealing.seal(list);
    spoilt[40]! ^= 1;
    await assert.rejects(service('unwrap', spoilt));
  });
