/**
 * `demo`: the main job once, on real parts. Starts the five services on free ports and a small RDP desktop, drives a client
 * through the gateway, and shows that the session was recorded, sealed, stored, logged and verifies. With `--target` it
 * waits for a person's own client instead and records a host of theirs.
 */
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectClient, type Desktop, startDesktop } from '@lucid-sessions/desktop';
import { formatReport } from '@lucid-sessions/evidence';
import type { Environment } from '@lucid-sessions/kit';
import { ApiClient } from '../cli/api-client.ts';
import { CliError, formatBytes, type Output } from '../cli/output.ts';
import { parseTarget } from '../cli/target.ts';
import { loadAdminToken } from '../server/admin-token.ts';
import { type RunningLucid, startLucid } from '../server/compose.ts';
import { exportSession } from './export.ts';
import type { SessionAnswer } from './sessions.ts';
import { probeTarget } from './target-probe.ts';
import { demoLink } from './users.ts';
import { serverReport } from './verify.ts';

export interface DemoOptions {
  target?: string;
  export?: string;
  keep?: boolean;
}

const portVariables = [
  'SESSION_PIPELINE_PORT',
  'SESSION_RECORDER_PORT',
  'CHUNK_PROCESSOR_PORT',
  'SESSION_STORAGE_PORT',
  'SESSION_API_PORT',
  'RDP_LISTEN_PORT',
] as const;

const typedText = 'hello from lucid sessions';
const connectWaitMs = 600_000;
const storeWaitMs = 60_000;

export async function demo(options: DemoOptions, output: Output, environment: Environment): Promise<void> {
  if (options.target !== undefined) {
    const { host, port } = parseTarget(options.target);
    await probeTarget(host, port);
  }
  const dataDir = environment.LUCID_DATA_DIR ?? (await mkdtemp(join(tmpdir(), 'lucid-demo-')));
  const running = await startLucid({ environment: demoEnvironment(environment, dataDir) });
  const desktop = options.target === undefined ? await startDesktop() : null;
  try {
    await runDemo(options, output, running, desktop);
  } finally {
    await desktop?.stop();
    await running.dispose();
  }
}

/** Free ports on this machine's own address, whatever is in use. */
function demoEnvironment(environment: Environment, dataDir: string): Environment {
  const free = Object.fromEntries(portVariables.map((variable) => [variable, '0']));
  return { ...environment, ...free, RDP_LISTEN_HOST: '127.0.0.1', LUCID_DATA_DIR: dataDir };
}

async function runDemo(
  options: DemoOptions,
  output: Output,
  running: RunningLucid,
  desktop: Desktop | null,
): Promise<void> {
  const startedMs = performance.now();
  const admin = await loadAdminToken(running.directory, {});
  const gatewayPort = running.rdp?.addresses[0]?.port;
  if (admin === null || gatewayPort === undefined || running.addresses.api === undefined)
    throw new CliError('the demo needs all five services and its own token secret in one process');
  const api = new ApiClient({ url: running.addresses.api, token: admin.token });

  const session = await createDemoSession(api, options.target, desktop);
  const id = session.session_id;
  output.say(`gateway   127.0.0.1:${gatewayPort}, five services in this process, data in ${running.directory.root}`);
  output.say(`session   ${id} → ${session.rdp_config.host}:${session.rdp_config.port}`);
  if (desktop !== null) await drive(api, id, gatewayPort, desktop, output);
  else await waitForPerson(api, id, join(running.directory.root, 'demo.rdp'), output);

  const done = await finished(api, id, output);
  const { statistics } = done;
  output.say(
    `recorded  ${statistics.frame_count} frames, ${statistics.chunks_count} chunk(s), ${formatBytes(statistics.size_bytes)} stored`,
  );
  output.say(`sealed    Merkle root ${done.merkle_root}`);
  const anchor = await api.rest.getAnchor({ params: { session_id: id } });
  output.say(`logged    entry ${anchor.log?.log_index} of this installation's transparency log`);
  const report = await serverReport(api, id);
  const exported =
    options.export === undefined ? null : await exportSession(api, output, id, { out: join(options.export, id) });
  const seconds = (performance.now() - startedMs) / 1000;

  output.result(
    { session: done, report, exported, api: api.url, data_dir: running.directory.root, seconds },
    [
      '',
      formatReport(report),
      ...(exported === null ? [] : [`bundle    ${exported.bundle}`, `policy    ${exported.policy}`]),
      ...(options.keep === true ? await lookNow(api, id) : lookLater(running, id)),
    ].join('\n'),
  );
  if (!report.clean) throw new CliError('the recording does not verify', report.exit_code);
  if (options.keep) {
    output.say('serving until you press Ctrl-C');
    await new Promise<void>((stop) => process.once('SIGINT', () => stop()));
  }
}

async function createDemoSession(
  api: ApiClient,
  target: string | undefined,
  desktop: Desktop | null,
): Promise<SessionAnswer> {
  const where = target === undefined ? { host: '127.0.0.1', port: desktop?.port } : parseTarget(target);
  const trust = desktop === null ? { ignore_cert: true } : { pinned_sha256: desktop.certificateSha256 };
  const session = await api.rest.createSession({
    body: {
      name: desktop === null ? `demo of ${target}` : 'demo desktop',
      rdp_config: { ...where, ...trust },
      metadata: { project: 'demo' },
    },
  });
  await api.rest.startSession({ params: { session_id: session.session_id } });
  return session;
}

/** A client of our own connects as mstsc would, with the downloaded file's routing token, works and leaves. */
async function drive(api: ApiClient, id: string, port: number, desktop: Desktop, output: Output): Promise<void> {
  const file = await (await api.rest.rdpFile({ params: { session_id: id } })).text();
  const routingToken = /^loadbalanceinfo:s:Cookie: msts=(\S+)/m.exec(file)?.[1];
  if (routingToken === undefined) throw new CliError('the .rdp file names no session');
  output.progress('a client connects through the gateway …');
  const client = await connectClient({ port, routingToken, userName: 'demo' });
  output.progress(`it types "${typedText}" …`);
  await client.type(`${typedText}\n`, 20);
  await client.settled();
  client.click(700, 500);
  await client.settled();
  await client.close();
  const arrived = desktop.typedLines().includes(typedText);
  output.say(
    `client    connected with TLS, typed a line, clicked, left; the desktop ${arrived ? 'got' : 'DID NOT GET'} "${typedText}"`,
  );
  if (!arrived) throw new CliError('what was typed did not arrive at the desktop');
}

async function waitForPerson(api: ApiClient, id: string, rdpFile: string, output: Output): Promise<void> {
  const { writeFile } = await import('node:fs/promises');
  const file = await (await api.rest.rdpFile({ params: { session_id: id } })).text();
  await writeFile(rdpFile, file, { mode: 0o600 });
  output.say(`connect   mstsc ${rdpFile}   or   xfreerdp ${rdpFile} /cert:ignore`);
  output.progress('waiting for you to connect, work and leave (10 minutes to connect) …');
  const deadlineMs = Date.now() + connectWaitMs;
  for (;;) {
    const { status } = await api.rest.getSession({ params: { session_id: id } });
    if (['stopped', 'processing', 'completed', 'failed'].includes(status)) return;
    if (status !== 'recording' && status !== 'paused' && Date.now() > deadlineMs)
      throw new CliError('nobody connected');
    await sleep(1000);
  }
}

async function finished(api: ApiClient, id: string, output: Output): Promise<SessionAnswer> {
  output.progress('chunks are sealed and stored, the manifest is signed and logged …');
  const deadlineMs = Date.now() + storeWaitMs;
  for (;;) {
    const session = await api.rest.getSession({ params: { session_id: id } });
    if (session.status === 'completed') return session;
    if (session.status === 'failed')
      throw new CliError(`the session failed: ${session.end_message ?? session.end_reason ?? 'no reason given'}`);
    if (Date.now() > deadlineMs) throw new CliError(`the session is still ${session.status} after a minute`);
    await sleep(300);
  }
}

async function lookNow(api: ApiClient, id: string): Promise<string[]> {
  const session = `${api.url}/sessions/${id}`;
  const link = await demoLink(api);
  if (link === null) return [`look      ${session}   (sign in with your account)`];
  return [`look      ${link}   (signs you in as demo, once)`, `          then ${session}`];
}

function lookLater(running: RunningLucid, id: string): string[] {
  const data = resolve(running.directory.root);
  return [
    'look at it:',
    `  npx lucid-sessions --data-dir ${data} up          gives a link to sign in with; then open http://127.0.0.1:8087/sessions/${id}`,
    `  npx lucid-sessions --data-dir ${data} sessions show ${id}          while it runs`,
  ];
}
