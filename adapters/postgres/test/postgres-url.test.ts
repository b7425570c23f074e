import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLucidError } from '@lucid-sessions/contract';
import fc from 'fast-check';
import { parsePostgresUrl, tellPostgres } from '../src/index.ts';

test('an address is read: hosts, password, schema and how its certificate is judged', () => {
  const plain = parsePostgresUrl('postgres://lucid:p%40ss%2Fword@db.example/lucid');
  assert.deepEqual(plain, {
    hosts: [{ host: 'db.example', port: 5432 }],
    user: 'lucid',
    password: 'p@ss/word',
    database: 'lucid',
    schema: null,
    sslMode: 'verify-full',
  });
  const several = parsePostgresUrl('postgresql://u@db1:5433,[2001:db8::1]:5434,10.0.0.1/x?sslmode=require&schema=rdp');
  assert.deepEqual(several.hosts, [
    { host: 'db1', port: 5433 },
    { host: '2001:db8::1', port: 5434 },
    { host: '10.0.0.1', port: 5432 },
  ]);
  assert.deepEqual([several.password, several.schema, several.sslMode], [null, 'rdp', 'require']);
  assert.equal(tellPostgres(several), 'postgres://db1:5433,[2001:db8::1]:5434,10.0.0.1:5432/x');
  assert.equal(parsePostgresUrl('postgres://u:p@localhost/x').sslMode, 'disable', 'nothing leaves the machine');
  assert.equal(parsePostgresUrl('postgres://u:p@localhost,db/x').sslMode, 'verify-full');
  const socket = parsePostgresUrl('postgres://u@/x?host=/run/postgresql');
  assert.deepEqual([socket.hosts, socket.sslMode], [[{ host: '/run/postgresql', port: 5432 }], 'disable']);
});

test('what is no address is refused in words, without what stands in it', () => {
  const cases: [string, RegExp][] = [
    ['postgres:', /must be postgres:\/\//],
    ['postgres://u:secret@word@db/x', /%-codes/],
    ['postgres://u:secret@db', /a user and a database/],
    ['postgres://db/x', /a user and a database/],
    ['postgres://u:secret@db:0/x', /HOST:PORT/],
    ['postgres://u:secret@db:70000/x', /HOST:PORT/],
    ['postgres://u:secret@db,/x', /HOST:PORT/],
    [`postgres://u:secret@${'db,'.repeat(16)}db/x`, /1 to 16 hosts/],
    ['postgres://u:secret@db/x?sslmode=prefer', /disable, require, verify-ca, verify-full/],
    ['postgres://u:secret@db/x?schema=Big', /small letters/],
    ['postgres://u:secret@db/x?sslcert=a', /not sslcert/],
    ['postgres://u:%secret@db/x', /%25/],
  ];
  for (const [text, message] of cases)
    assert.throws(
      () => parsePostgresUrl(text),
      (thrown: unknown) => {
        assert.ok(isLucidError(thrown, 'invalidRequest'), text);
        assert.match(thrown.message, message);
        assert.doesNotMatch(thrown.message, /secret/);
        return true;
      },
    );
});

test('any user, password and database come back as they were, and no word of the password is told', () => {
  const part = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 });
  const secret = fc.stringMatching(/^[A-Z]{12}[^\0]{0,20}$/);
  fc.assert(
    fc.property(part, secret, part, (user, password, database) => {
      const code = encodeURIComponent;
      const address = parsePostgresUrl(`postgres://${code(user)}:${code(password)}@db/${code(database)}`);
      assert.deepEqual([address.user, address.password, address.database], [user, password, database]);
      assert.ok(!tellPostgres(address).includes(password.slice(0, 12)));
      try {
        parsePostgresUrl(`postgres://${user}:${password}@db/${database}`);
      } catch (thrown) {
        assert.ok(!(thrown as Error).message.includes(password.slice(0, 12)));
      }
    }),
    {
      numRuns: 500,
      examples: [
        ['? ', 'AAAAAAAAAAAA', ' '],
        ['u', 'AAAAAAAAAAAA?AAAAAAAAAAAA=x', 'd'],
        ['a?b', 'AAAAAAAAAAAA', 'd'],
      ],
    },
  );
});
