/** What a person reads, or a script, whose command can't be done. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { temporaryDirectory } from '@lucid-sessions/testkit';
import { runCli } from './support/cli.ts';

/** A host that answers whatever it is asked by these bytes. */
async function answering(t: TestContext, answer: string): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(Buffer.from(answer, 'hex')));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A Connection Confirm: RDP_NEG_FAILURE or RDP_NEG_RSP with this value, [MS-RDPBCGR] 2.2.1.2. */
const confirm = (type: 2 | 3, value: number): string => `030000130ed000000000000${type}000800${`0${value}`}000000`;

const hosts: [string, string, RegExp][] = [
  [
    'demands NLA',
    confirm(3, 5),
    /demands network level authentication \(NLA\).+sessions create 127\.0\.0\.1:\d+ --target-user/,
  ],
  ['has no TLS', confirm(3, 2), /has no TLS: turn it on there/],
  ['takes RDP security alone', confirm(2, 0), /has no TLS/],
  ['is a web server', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n').toString('hex'), /does not speak RDP/],
  ['closes', '', /can't be reached: it closed the connection/],
];

for (const [what, answer, says] of hosts)
  test(`demo of a host that ${what} says so before it asks anybody to connect`, { timeout: 60_000 }, async (t) => {
    const port = await answering(t, answer);
    const { code, stderr, stdout } = await runCli(['demo', '--target', `127.0.0.1:${port}`]);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, says);
  });

test('failures under --json are one line of JSON', { timeout: 120_000 }, async () => {
  const folder = temporaryDirectory('words');
  const nobody = { LUCID_TOKEN: 'x', LUCID_API_URL: 'http://127.0.0.1:1' };
  const cases: [string[], number, RegExp][] = [
    [['verify', folder], 2, /lies on this disk: to check a bundle name whom you trust with --policy/],
    [['sessions', 'list'], 3, /^no Session API answers at http:\/\/127\.0\.0\.1:1 /],
    [['sessions', 'list', '--limit', 'many'], 2, /^option '--limit <count>' argument 'many' is invalid/],
    [['sessions', 'lst'], 2, /^unknown command 'lst'/],
    [[], 2, /^no command was named/],
  ];
  for (const [args, exitCode, says] of cases) {
    const { code, stderr, stdout } = await runCli(['--json', ...args], nobody);
    const { error } = JSON.parse(stderr) as { error: { message: string; exit_code: number } };
    assert.deepEqual([code, error.exit_code, stdout], [exitCode, exitCode, '']);
    assert.match(error.message, says);
  }
});
