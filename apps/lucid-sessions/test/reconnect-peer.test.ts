/** xfreerdp loses its connection and comes back by itself: the session goes on as the same one, and its recording says what happened. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { eventually, skipUnlessPeers, startShadow, startXfreerdp } from '@lucid-sessions/testkit';
import type { SessionAnswer } from '../src/commands/sessions.ts';
import { startFive } from './support/five.ts';
import { armSession, sessionIn, startGateway, verifySession } from './support/gateway.ts';

/** A cable between client and gateway that can be cut: what is under way is lost, new connections come through. */
async function cable(t: TestContext, port: number): Promise<{ port: number; cut: () => void }> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(socket);
          other.destroy();
        });
      socket.pipe(other);
    }
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  t.after(() => {
    cut();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, cut };
}

const installations = { 'one process': startGateway, 'five processes': startFive };

for (const [what, start] of Object.entries(installations))
  test(`xfreerdp reconnects by itself into the same session, ${what}`, { timeout: 300_000 }, async (t) => {
    if (skipUnlessPeers(t, 'shadow', 'xfreerdp')) return;
    const shadow = await startShadow();
    t.after(() => shadow.stop());
    const gateway = await start(t);
    const { id, routingToken } = await armSession(gateway, shadow.port);
    const wire = await cable(t, gateway.rdpPort);
    const client = await startXfreerdp(
      `127.0.0.1:${wire.port}`,
      '-decorations',
      '/bpp:16',
      '+auto-reconnect',
      '/auto-reconnect-max-retries:20',
      `/load-balance-info:Cookie: msts=${routingToken}`,
    );
    t.after(() => client.stop());
    const typed = (text: string) =>
      eventually(
        `"${text}" on the desktop`,
        async () => {
          await client.click(200, 200);
          await client.type(text);
          return shadow.typedLines().some((line) => line.includes(text));
        },
        60_000,
      );
    await sessionIn(gateway, id, 'recording');
    await typed('before the cut');
    wire.cut();
    const connections = async (): Promise<number> =>
      (await gateway.api.json<SessionAnswer & { connections: number }>('GET', `/sessions/${id}`)).connections;
    await eventually('a second connection', async () => (await connections()) === 2, 90_000);
    await typed('behind the cut');
    await gateway.api.json('POST', `/sessions/${id}/stop`, {});
    await sessionIn(gateway, id, 'completed');
    const report = await verifySession(gateway, id);
    assert.deepEqual([...new Set(report.findings.map(({ code }) => code))], ['GAP']);
    assert.equal(report.verdicts.completeness, 'gaps');
    assert.equal(report.verdicts.integrity, 'intact');
  });
