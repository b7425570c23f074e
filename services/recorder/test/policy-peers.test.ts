/** The policy of channels between real clients and servers: clipboard each way, a drive, sound and microphone. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ChannelRules, RecorderReport, SessionTicket } from '@lucid-sessions/contract';
import {
  eventually,
  type PeerServer,
  skipUnlessPeers,
  startRdesktop,
  startShadow,
  startXfreerdp,
  startXrdp,
  xrdpUser,
} from '@lucid-sessions/testkit';
import { type Gateway, startGateway, ticketFor } from './gateway-kit.ts';

const { userName, password } = xrdpUser;

/** A gateway whose next session is under these rules. */
interface Ruled {
  gateway: Gateway;
  rules: ChannelRules;
  /** `client`: its client is held first, and what passes is mapped to ids of the target's. */
  credentials: 'none' | 'client';
}

async function ruledGateway(t: TestContext, server: PeerServer): Promise<Ruled> {
  let sessions = 0;
  const ruled: Ruled = {
    rules: {},
    credentials: 'none',
    gateway: await startGateway(t, {
      admit: () => {
        const ticket = ticketFor(server.port, { credentials: ruled.credentials });
        const target: SessionTicket['target'] = { ...ticket.target, channels: ruled.rules };
        sessions += 1;
        return { admitted: true, ticket: { ...ticket, sessionId: `session-${sessions}`, target } };
      },
      config: { chunkBytesMax: 10 << 20 },
    }),
  };
  return ruled;
}

const told = ({ gateway }: Ruled): string[] =>
  gateway.reports.flatMap((report: RecorderReport) =>
    report.kind === 'fact' && report.fact.kind === 'policy' ? [`${report.fact.count} ${report.fact.what}`] : [],
  );

/** What a program of the session's user (or ours) prints; '' where it fails. Never waited for in this thread: the gateway runs here. */
function run(
  program: string,
  args: string[],
  user?: string,
  env: Record<string, string> = {},
  input?: string,
): Promise<string> {
  const as = user === undefined ? [] : ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--init-groups'];
  const [first = '', ...rest] = [...as, 'timeout', '5', program, ...args];
  return new Promise((resolve) => {
    const child = execFile(first, rest, { env: { ...process.env, ...env }, timeout: 10_000 }, (error, stdout) =>
      resolve(error === null ? stdout : ''),
    );
    // A program that does not read may be gone by then.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input ?? '');
  });
}

/** The clipboard of an X display; of the session's user where `user` is given. */
function clipboard(display: string, user?: string) {
  const env: Record<string, string> = { DISPLAY: display };
  if (user !== undefined) env.XAUTHORITY = `/home/${user}/.Xauthority`;
  const xclip = (args: string[], input?: string) =>
    run('sh', ['-c', `xclip -selection clipboard ${args.join(' ')}`], user, env, input);
  return { copy: (text: string) => xclip(['-i', '>/dev/null', '2>&1'], text), paste: () => xclip(['-o']) };
}

const sessionDisplay = (): Promise<string> =>
  eventually(
    'the display of the session',
    async () => /Xorg (:\d+)/.exec(await run('pgrep', ['-u', userName, '-a', 'Xorg']))?.[1],
  );

test('xfreerdp with xrdp: what is copied is pasted the one way it may be', { timeout: 240_000 }, async (t) => {
  if (skipUnlessPeers(t, 'xrdp', 'xfreerdp')) return;
  const server = await startXrdp();
  t.after(() => server.stop());
  const ruled = await ruledGateway(t, server);
  for (const way of ['out', 'in'] as const) {
    ruled.rules = { clipboard: way, clipboard_files: 'off' };
    ruled.credentials = way === 'in' ? 'client' : 'none';
    const flags = [`/u:${userName}`, `/p:${password}`, '/d:Xorg', '+clipboard'];
    const client = await startXfreerdp(`127.0.0.1:${ruled.gateway.port}`, ...flags);
    t.after(() => client.stop());
    const here = clipboard(client.display);
    const there = clipboard(await sessionDisplay(), userName);
    const [from, to] = way === 'in' ? [here, there] : [there, here];
    let copies = 0;
    // Until both ends of the channel are up a copy may be missed.
    await eventually(`${way}: pasted on the other side`, async () => {
      copies += 1;
      await from.copy(`may cross ${copies}`);
      return /^may cross/.test(await to.paste());
    });
    const back = `clipboard ${way === 'in' ? 'out of' : 'into'} the session refused`;
    await eventually(`${way}: the other way is refused`, async () => {
      copies += 1;
      await to.copy(`may not cross ${copies}`);
      return told(ruled).some((fact) => fact.endsWith(back));
    });
    assert.match(await from.paste(), /^may cross/, 'what was copied there is there still');
    await client.closeClient();
    await client.stop();
  }
  assert.equal(told(ruled)[0], '0 in force: clipboard:out clipboard_files:off');
});

test('rdesktop with xrdp: a drive that may not be used is not there, and one that may be is read', {
  timeout: 240_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'xrdp', 'rdesktop')) return;
  const server = await startXrdp();
  t.after(() => server.stop());
  const ruled = await ruledGateway(t, server);
  const shared = mkdtempSync(join(tmpdir(), 'shared-'));
  t.after(() => rmSync(shared, { recursive: true }));
  writeFileSync(join(shared, 'file.txt'), 'on the drive');
  const drives = `/home/${userName}/thinclient_drives`;
  for (const isAllowed of [false, true]) {
    ruled.rules = { drives: isAllowed, printers: false };
    const flags = ['-u', userName, '-p', password, '-d', 'Xorg', '-r', `disk:share=${shared}`];
    const client = await startRdesktop(`127.0.0.1:${ruled.gateway.port}`, ...flags);
    t.after(() => client.stop());
    if (isAllowed)
      await eventually(
        'the file',
        async () => (await run('cat', [`${drives}/share/file.txt`], userName)) === 'on the drive',
      );
    else {
      await eventually('the refusal', () => told(ruled).includes('1 device refused: drives'));
      await eventually('a desktop', () => ruled.gateway.reports.some(({ kind }) => kind === 'client'));
      assert.equal((await run('ls', [drives], userName)).includes('share'), false);
    }
    await client.closeClient();
    await client.stop();
  }
});

test('xfreerdp with shadow: without sound and microphone it works on', { timeout: 120_000 }, async (t) => {
  if (skipUnlessPeers(t, 'shadow', 'xfreerdp')) return;
  const server = await startShadow();
  t.after(() => server.stop());
  const ruled = await ruledGateway(t, server);
  ruled.rules = { audio: false, microphone: false, clipboard: 'off', clipboard_files: 'off', drives: false };
  const flags = ['/u:test', '/p:test', '/gfx:AVC420', '/sound:sys:fake', '/microphone:sys:alsa', '/log-level:DEBUG'];
  const client = await startXfreerdp(`127.0.0.1:${ruled.gateway.port}`, ...flags);
  t.after(() => client.stop());
  await eventually('the typed line', async () => {
    await client.click(300, 150);
    await client.type('lucid');
    return server.typedLines().some((line) => line.includes('lucid'));
  });
  assert.doesNotMatch(client.log('client'), /Server Audio Formats|AUDIO_INPUT created/);
  assert.deepEqual(told(ruled).slice(1), [
    '1 channel rdpsnd refused (audio)',
    '1 channel cliprdr refused (clipboard)',
    '1 dynamic channel AUDIO_INPUT refused (microphone)',
  ]);
  await client.closeClient();
  await ruled.gateway.reported('drained');
});
