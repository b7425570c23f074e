/** `health`: asks the doors of this machine's services, as whoever manages them would. */
import { request } from 'node:http';
import { request as requestTls } from 'node:https';
import {
  type Environment,
  readServicePort,
  readServiceProof,
  readText,
  type ServicePortVariable,
} from '@lucid-sessions/kit';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, type Output, table } from '../cli/output.ts';
import type { ServiceName } from '../server/environment.ts';

const answerBytesMax = 64 * 1024;
const answerTimeoutMs = 5000;

const portVariables: Record<ServiceName, ServicePortVariable> = {
  storage: 'SESSION_STORAGE_PORT',
  processor: 'CHUNK_PROCESSOR_PORT',
  pipeline: 'SESSION_PIPELINE_PORT',
  recorder: 'SESSION_RECORDER_PORT',
  api: 'SESSION_API_PORT',
};

/** Where a service of this machine listens, for this machine. */
export function ownDoor(environment: Environment, service: ServiceName): string {
  const host = readText(environment, service === 'api' ? 'LUCID_API_HOST' : 'LUCID_BIND_HOST', '127.0.0.1');
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  const isTls =
    service === 'api'
      ? readText(environment, 'LUCID_API_TLS_CERT', '') !== ''
      : readServiceProof(environment).tls !== null;
  const port = readServicePort(environment, portVariables[service]);
  return `http${isTls ? 's' : ''}://${reached.includes(':') ? `[${reached}]` : reached}:${port}`;
}

/** Null: all is well. */
function problemAt(url: string): Promise<string | null> {
  return new Promise((resolve) => {
    // Nothing secret is sent, and the certificate has the name others know this machine by.
    const options = { rejectUnauthorized: false, timeout: answerTimeoutMs, agent: false };
    const asked = (url.startsWith('https:') ? requestTls : request)(url, options, async (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('error', (error) => resolve(error.message));
      for await (const part of answer) if (text.length < answerBytesMax) text += part;
      resolve(answer.statusCode === 200 ? null : (messageIn(text) ?? `answers HTTP ${answer.statusCode}`));
    });
    asked.on('timeout', () => asked.destroy(new Error(`does not answer within ${answerTimeoutMs / 1000} s`)));
    asked.on('error', (error) => resolve(error.message));
    asked.end();
  });
}

function messageIn(text: string): string | null {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    return typeof message === 'string' ? message : null;
  } catch {
    return null;
  }
}

export async function health(
  environment: Environment,
  output: Output,
  services: readonly ServiceName[],
  path: '/livez' | '/readyz',
): Promise<void> {
  const word = path === '/livez' ? 'live' : 'ready';
  const answers = await Promise.all(
    services.map(async (service) => ({
      service,
      problem: await problemAt(`${ownDoor(environment, service)}${path}`),
    })),
  );
  output.result(
    answers,
    table(
      ['SERVICE', 'STATE'],
      answers.map(({ service, problem }) => [service, problem === null ? word : `not ${word}: ${problem}`]),
    ),
    { [word]: 'green', [`not ${word}:`]: 'red' },
  );
  const bad = answers.filter(({ problem }) => problem !== null).map(({ service }) => service);
  if (bad.length > 0) throw new CliError(`not ${word}: ${bad.join(', ')}`);
}

/** What the API says of every service, the database and the storage. */
export async function systemHealth(api: ApiClient, output: Output): Promise<void> {
  const answer = await api.rest.health();
  const { free_percent: free } = answer.storage;
  const room = free === null ? '' : `${free} % free`;
  const rows = [
    ...Object.entries(answer.services).map(([name, { status, message }]) => [name, status, message ?? '']),
    ['database', answer.database.status, ''],
    ['room', answer.storage.status, room],
    ['all', answer.status, `version ${answer.version}`],
  ];
  const colours = { healthy: 'green', degraded: 'yellow', unhealthy: 'red' } as const;
  output.result(answer, table(['PART', 'STATE', 'TOLD'], rows), colours);
  if (answer.status === 'unhealthy') throw new CliError(`${api.url} is unhealthy`);
}
