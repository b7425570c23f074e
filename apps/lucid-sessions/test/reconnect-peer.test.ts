/** xfreerdp loses its connection and comes back by itself: the session goes on as the same one, and its recording says what happened. */
import { test } from 'node:test';
import { skipUnlessPeers } from '@lucid-sessions/testkit';
import { startFive } from './support/five.ts';
import { startGateway } from './support/gateway.ts';
import { comesBackByItself } from './support/reconnecting.ts';

const installations = { 'one process': startGateway, 'five processes': startFive };

for (const [what, start] of Object.entries(installations))
  test(`xfreerdp reconnects by itself into the same session, ${what}`, { timeout: 300_000 }, async (t) => {
    if (skipUnlessPeers(t, 'shadow', 'xfreerdp')) return;
    const gateway = await start(t);
    await comesBackByItself(t, gateway, [gateway.rdpPort, gateway.rdpPort]);
  });
