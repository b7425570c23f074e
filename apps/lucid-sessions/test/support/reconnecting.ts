/** A client whose connection is cut, and who comes back by itself: over the same way, or by another recorder. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { eventually, startShadow, startXfreerdp } from '@lucid-sessions/testkit';
import type { SessionAnswer } from '../../src/commands/sessions.ts';
import { armSession, sessionIn, verifySession } from './gateway.ts';

type Gateway = Parameters<typeof verifySession>[0] & Parameters<typeof armSession>[0];

/** A cable between client and gateway: cut, what is under way is lost, and what comes new goes to `port`. */
async function cable(t: TestContext, port: number): Promise<{ port: number; cutOverTo: (port: number) => void }> {
  const sockets = new Set<Socket>();
  let to = port;
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1');
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
  const cutOverTo = (next: number): void => {
    to = next;
    for (const socket of sockets) socket.resetAndDestroy();
  };
  t.after(() => {
    cutOverTo(0);
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, cutOverTo };
}

export const connectionsOf = async ({ api }: Pick<Gateway, 'api'>, id: string): Promise<number> =>
  (await api.json<SessionAnswer & { connections: number }>('GET', `/sessions/${id}`)).connections;

/** Over, whole but for the declared gap. */
export async function verifiedWithGap(gateway: Gateway, id: string): Promise<void> {
  await sessionIn(gateway, id, 'completed');
  const { findings, verdicts } = await verifySession(gateway, id);
  assert.deepEqual([...new Set(findings.map(({ code }) => code))], ['GAP']);
  assert.deepEqual([verdicts.completeness, verdicts.integrity], ['gaps', 'intact']);
}

/** xfreerdp types through the first port, is cut off, comes back by the second one, and types on in the same session. */
export async function comesBackByItself(
  t: TestContext,
  gateway: Gateway,
  [first, second]: [number, number],
): Promise<void> {
  const shadow = await startShadow();
  t.after(() => shadow.stop());
  const { id, routingToken } = await armSession(gateway, shadow.port);
  const wire = await cable(t, first);
  const client = await startXfreerdp(
    ...[`127.0.0.1:${wire.port}`, '-decorations', '/bpp:16', '+auto-reconnect', '/auto-reconnect-max-retries:20'],
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
  wire.cutOverTo(second);
  await eventually('a second connection', async () => (await connectionsOf(gateway, id)) === 2, 90_000);
  await typed('behind the cut');
  await gateway.api.json('POST', `/sessions/${id}/stop`, {});
  await verifiedWithGap(gateway, id);
}
