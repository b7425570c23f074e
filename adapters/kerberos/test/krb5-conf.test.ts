import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseKrb5Conf, readKrb5Conf } from '../src/index.ts';
import { realmOfHost } from '../src/krb5-conf.ts';

const debian = `
# A comment, and a section nobody needs.
[logging]
	kdc = FILE:/var/log/krb5kdc.log
[libdefaults]
	default_realm = "CORP.TEST"
	dns_lookup_kdc = true
; the realms
[realms]
	CORP.TEST = {
		kdc = dc1.corp.test
		kdc = tcp/dc2.corp.test:8888
		admin_server = dc1.corp.test
		auth_to_local = RULE:[1:$1]
	}
	V6.TEST = {
		kdc = [2001:db8::1]:88
	}
[domain_realm]
	.corp.test = CORP.TEST
	corp.test = CORP.TEST
	odd.corp.test = V6.TEST
`;

test('realms, KDCs and domains are read as MIT reads them', () => {
  const conf = parseKrb5Conf(debian);
  assert.deepEqual([conf.defaultRealm, conf.looksInDns], ['CORP.TEST', true]);
  assert.deepEqual(conf.kdcs.get('CORP.TEST'), ['dc1.corp.test', 'dc2.corp.test:8888']);
  assert.deepEqual(conf.kdcs.get('V6.TEST'), ['[2001:db8::1]:88']);
  const realms = ['corp.test', 'a.corp.test', 'B.A.Corp.Test.', 'odd.corp.test', 'x.odd.corp.test', 'notcorp.test'];
  assert.deepEqual(
    realms.map((host) => realmOfHost(conf, host)),
    ['CORP.TEST', 'CORP.TEST', 'CORP.TEST', 'V6.TEST', 'CORP.TEST', ''],
  );
  assert.deepEqual(parseKrb5Conf(''), {
    defaultRealm: '',
    looksInDns: true,
    kdcs: new Map(),
    realmOfDomain: new Map(),
  });
  assert.throws(() => parseKrb5Conf('[libdefaults]\nnonsense\n'), /line 2/);
});

test('what a file includes is read, and in no circle', (t) => {
  const home = mkdtempSync(join(tmpdir(), 'lucid-krb5-'));
  t.after(() => rmSync(home, { recursive: true }));
  const parts = join(home, 'krb5.conf.d');
  mkdirSync(parts, { mode: 0o700 });
  writeFileSync(join(parts, 'realms.conf'), '[realms]\nA.TEST = {\nkdc = a\n}\n');
  writeFileSync(join(parts, '.hidden.conf'), 'nonsense');
  writeFileSync(join(parts, 'backup~'), 'nonsense');
  const main = join(home, 'krb5.conf');
  writeFileSync(main, `includedir ${parts}\n[libdefaults]\ndefault_realm = A.TEST\n`);
  assert.deepEqual(readKrb5Conf(main).kdcs.get('A.TEST'), ['a']);
  writeFileSync(join(parts, 'again'), `include ${main}\n`);
  assert.throws(() => readKrb5Conf(main), /includes more than/);
});
