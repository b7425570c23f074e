/** A host is asked for its certificate over real sockets, on the way a session would take. */
import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { isLucidError } from '@lucid-sessions/contract';
import { startDesktop } from '@lucid-sessions/desktop';
import { startGateway, ticketFor } from './gateway-kit.ts';
import { startNlaTarget } from './support/nla-target.ts';

const gatewayOf = (t: TestContext, resolve?: (host: string) => Promise<string[]>) =>
  startGateway(t, {
    admit: () => ({ admitted: true, ticket: ticketFor(1) }),
    ...(resolve === undefined ? {} : { deps: { resolve } }),
  });

const ask = (gateway: Awaited<ReturnType<typeof gatewayOf>>, host: string, port: number) =>
  gateway.recorder.port.checkTarget({ host, port, legacyTls: false });

async function listening(t: TestContext, answer: Buffer | null): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    t.after(() => socket.destroy());
    socket.once('data', () => answer !== null && socket.end(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

test('a host shows its certificate, and so does one that demands network level authentication', async (t) => {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const nla = await startNlaTarget(t);
  const gateway = await gatewayOf(t);
  const found = await ask(gateway, '127.0.0.1', desktop.port);
  assert.equal(found.certificate?.sha256, desktop.certificateSha256);
  assert.deepEqual([found.address, found.certificate?.trusted], ['127.0.0.1', false]);
  assert.match(found.certificate?.subject ?? '', /^CN=/);
  assert.match(found.certificate?.tls ?? '', /^TLSv1\.[23] /);
  assert.match(found.message, /^it answered by RDP; without a pin its certificate is not trusted: .+/);
  assert.ok((found.certificate?.fromUs ?? 0) < (found.certificate?.toUs ?? 0));
  const second = await ask(gateway, '127.0.0.1', nla.port);
  assert.equal(second.certificate?.sha256, nla.certificateSha256);
  assert.deepEqual(
    nla.events.filter(({ kind }) => kind === 'authenticated'),
    [],
    'nobody logs on',
  );
  assert.deepEqual(gateway.reports, [], 'and nothing is recorded');
});

test('why a host can not be asked is said in words, and what is not open in one sentence', async (t) => {
  const names: Record<string, string[]> = { 'closed.example': ['169.254.169.254'], 'none.example': [] };
  const gateway = await gatewayOf(t, async (host) => {
    if (host === '127.0.0.1') return [host];
    const found = names[host];
    if (found === undefined) throw Object.assign(new Error('getaddrinfo ENOTFOUND x'), { code: 'ENOTFOUND' });
    return found;
  });
  const free = await listening(t, null);
  const web = await listening(t, Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'));
  const refused = await (async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    return port;
  })();
  const cases: [string, number, RegExp][] = [
    ['127.0.0.1', refused, /can't be reached by RDP: nothing listens there/],
    ['127.0.0.1', web, /can't be reached by RDP: what answers there does not speak RDP/],
    ['unknown.example', 3389, /can't be reached by RDP: its name is not known \(DNS\)/],
    ['closed.example', 3389, /^sessions may not lead to this host and port here/],
  ];
  for (const [host, port, words] of cases) {
    const answer = await ask(gateway, host, port);
    assert.deepEqual([answer.certificate, answer.address], [null, null]);
    assert.match(answer.message, words);
    assert.doesNotMatch(answer.message, /169\.254/);
  }
  assert.match(gateway.lines.join('\n'), /asked for its certificate: .*169\.254\.169\.254: a link-local address/);
  // Four that say nothing take every place there is, and the next one is told so.
  const waiting = Array.from({ length: 4 }, () => ask(gateway, '127.0.0.1', free));
  await assert.rejects(ask(gateway, '127.0.0.1', free), (thrown) => isLucidError(thrown, 'atCapacity'));
  for (const { message } of await Promise.all(waiting)) assert.match(message, /it did not answer in time$/);
});
