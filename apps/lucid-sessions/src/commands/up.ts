/** `up`: runs the services and says where they are. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Environment, readInteger, readRetentionDaysDefault } from '@lucid-sessions/kit';
import { ApiClient } from '../cli/api-client.ts';
import { exitCodes, type Output } from '../cli/output.ts';
import { loadAdminToken } from '../server/admin-token.ts';
import { type RunningLucid, startLucid } from '../server/compose.ts';
import type { ServiceName } from '../server/environment.ts';
import { openLog, readLogSettings } from '../server/logging.ts';
import { goFirst } from '../server/priority.ts';
import { firstLink } from './users.ts';

export interface UpOptions {
  services: readonly ServiceName[];
}

const askEveryMs = 500;

/** How long sessions that run may go on once the process is asked to stop. */
const readDrainSeconds = (environment: Environment): number =>
  readInteger(environment, 'LUCID_DRAIN_SECONDS', { min: 0, max: 86_400, fallback: 0 });

/** Resolves when a signal has stopped everything in order. While it waits for sessions a second signal ends them; the next one ends at once. */
export async function up(environment: Environment, output: Output, options: UpOptions): Promise<void> {
  const log = openLog(readLogSettings(environment), process.stderr);
  if (options.services.includes('recorder')) goFirst();
  const drainSeconds = readDrainSeconds(environment);
  const running = await startLucid({ environment, services: options.services, log });
  await announce(running, environment, output);
  await signal();
  if (running.drain !== null && drainSeconds > 0) await drain(running.drain, drainSeconds, output);
  output.say('stopping: running sessions are ended and stored (press again to stop at once)');
  void signal().then(() => process.exit(exitCodes.failed));
  await running.dispose();
}

async function drain(ask: NonNullable<RunningLucid['drain']>, seconds: number, output: Output): Promise<void> {
  const untilMs = performance.now() + seconds * 1000;
  const hurry = signal().then(() => 'hurry' as const);
  output.say(`draining: no new sessions; those that run have ${seconds} s (press again to end them)`);
  for (;;) {
    const left = await ask();
    if (left.sessions === 0 && left.spooled === 0) return;
    if (performance.now() >= untilMs) break;
    if ((await Promise.race([hurry, sleep(askEveryMs)])) === 'hurry') break;
  }
}

const signal = (): Promise<void> =>
  new Promise((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => resolve());
  });

/** Data protection wants a limit, and whoever runs this has to set it. */
function retentionText(environment: Environment): string {
  const days = readRetentionDaysDefault(environment);
  if (days !== null) return `recordings are deleted ${days} days after their end unless their session says otherwise`;
  return 'recordings are kept until somebody deletes them; LUCID_RETENTION_DAYS_DEFAULT sets the limit data protection may want';
}

/** How people get in, where nobody has an account yet. A link is a secret: it goes to who sits at a terminal. */
async function signInLines({ addresses }: RunningLucid, token: string, output: Output): Promise<string[]> {
  const api = new ApiClient({ url: addresses.api ?? '', token });
  try {
    if (!output.isRead) {
      const { has_accounts: hasAccounts } = await api.rest.signInWays();
      return hasAccounts
        ? []
        : ['sign-in    nobody has an account yet: "lucid-sessions users setup" gives a link for the first'];
    }
    const link = await firstLink(api);
    return link === null ? [] : ['', 'Nobody has an account yet. Open this to make the first, once:', '', link, ''];
  } catch {
    // The services run; what is amiss with this (an own CA, say), the command tells when it is asked.
    return ['sign-in    "lucid-sessions users setup" gives a link for the first account'];
  }
}

async function announce(running: RunningLucid, environment: Environment, output: Output): Promise<void> {
  const lines = Object.entries(running.addresses).map(([name, address]) => `${name.padEnd(10)} ${address}`);
  for (const { host, port, target } of running.rdp?.addresses ?? [])
    lines.push(
      `RDP        ${host.includes(':') ? `[${host}]` : host}:${port}${target === null ? '' : `  records everything that goes to ${target}`}`,
    );
  if (running.rdp) lines.push(`           clients see the certificate with SHA-256 ${running.rdp.certificateSha256}`);
  lines.push(`data       ${running.directory.root}`);
  if (running.addresses.api !== undefined) lines.push(`retention  ${retentionText(environment)}`);
  const admin = running.addresses.api === undefined ? null : await loadAdminToken(running.directory, environment);
  if (admin !== null) {
    lines.push(`token      ${running.directory.adminToken} (mode 0600), for the command line on this machine`);
    lines.push(...(await signInLines(running, admin.token, output)));
  }
  output.result(
    { addresses: running.addresses, rdp: running.rdp?.addresses ?? [], data: running.directory.root },
    lines.join('\n'),
  );
}
