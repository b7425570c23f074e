/** The whole product in this process, on free ports and a fresh directory, driven through its REST API. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { connectClient } from '@lucid-sessions/desktop';
import { openChunk, openInputs, type SessionKeys, type VerificationReport } from '@lucid-sessions/evidence';
import { nodeCrypto, nodeDecompressor } from '@lucid-sessions/node';
import { type Frame, PAYLOAD_BYTES_MAX, readPayload } from '@lucid-sessions/recording';
import { eventually } from '@lucid-sessions/testkit';
import type { SessionAnswer } from '../../src/commands/sessions.ts';
import { loadAdminToken } from '../../src/server/admin-token.ts';
import { type RunningLucid, startLucid } from '../../src/server/compose.ts';
import { RawClient } from './raw-client.ts';

export interface Gateway {
  lucid: RunningLucid;
  api: RawClient;
  rdpPort: number;
  logged: string[];
}

const environmentOf = (dataDir: string): Record<string, string> => ({
  LUCID_DATA_DIR: dataDir,
  SESSION_PIPELINE_PORT: '0',
  SESSION_RECORDER_PORT: '0',
  CHUNK_PROCESSOR_PORT: '0',
  SESSION_STORAGE_PORT: '0',
  SESSION_API_PORT: '0',
  RDP_LISTEN_PORT: '0',
  RDP_LISTEN_HOST: '127.0.0.1',
  // Codes alone: clients here have nobody who reads.
  RDP_REFUSAL_SECONDS: '0',
  RDP_COOKIE_ROUTE: 'on',
  LUCID_RATE_LIMIT_CREATE: '1000',
  LUCID_RATE_LIMIT_READ: '100000',
  LUCID_RATE_LIMIT_BULK: '1000',
});

export async function startGateway(t: TestContext, environment: Record<string, string> = {}): Promise<Gateway> {
  const dataDir = environment.LUCID_DATA_DIR ?? mkdtempSync(join(tmpdir(), 'lucid-test-'));
  const logged: string[] = [];
  const lucid = await startLucid({
    environment: { ...environmentOf(dataDir), ...environment },
    log: (line) => logged.push(line),
  });
  t.after(async () => {
    await lucid.dispose();
    if (environment.LUCID_DATA_DIR === undefined) rmSync(dataDir, { recursive: true, force: true });
  });
  const admin = await loadAdminToken(lucid.directory, {});
  return {
    lucid,
    api: new RawClient({ url: lucid.addresses.api ?? '', token: admin?.token ?? '' }),
    rdpPort: lucid.rdp?.addresses[0]?.port ?? 0,
    logged,
  };
}

/**
 * Creates and arms a session for `port` on this machine; answers its id and the routing token of its .rdp file. One with a user
 * name may be reached by that as well.
 */
export async function armSession(
  { api }: Pick<Gateway, 'api'>,
  port: number,
  more: {
    name?: string;
    rdp_config?: Record<string, unknown>;
    recording_config?: Record<string, unknown>;
    storage_config?: Record<string, unknown>;
    target_credentials?: Record<string, unknown>;
  } = {},
): Promise<{ id: string; routingToken: string }> {
  const byName = more.rdp_config?.username === undefined ? {} : { route_by_name: true };
  const session = await api.json<SessionAnswer>('POST', '/sessions', {
    name: `test of port ${port}`,
    ...more,
    rdp_config: { host: '127.0.0.1', port, ignore_cert: true, ...byName, ...more.rdp_config },
  });
  const id = session.session_id;
  await api.json('POST', `/sessions/${id}/start`, {});
  const file = await (await api.send('GET', `/sessions/${id}/rdp-file`)).text();
  const routingToken = /^loadbalanceinfo:s:Cookie: msts=(\S+)/m.exec(file)?.[1] ?? '';
  return { id, routingToken };
}

/** A client connects to a session for `port`, types and leaves; answers when the recording is whole, signed and logged. */
export async function recordSession(
  gateway: Pick<Gateway, 'api' | 'rdpPort'>,
  port: number,
  { text = 'kept\n', userName = 'ada', meanwhile, ...more }: RecordOptions = {},
): Promise<string> {
  const { id, routingToken } = await armSession(gateway, port, more);
  const client = await connectClient({ port: gateway.rdpPort, routingToken, userName });
  await client.type(text, 5);
  if (meanwhile !== undefined) {
    await meanwhile();
    await client.type(`still ${text}`, 5);
  }
  await client.settled();
  await client.close();
  await sessionIn(gateway, id, 'completed');
  return id;
}

type RecordOptions = Parameters<typeof armSession>[2] & {
  text?: string;
  userName?: string;
  /** Between two lines that are typed. */
  meanwhile?: () => Promise<void>;
};

export async function sessionIn(
  gateway: Pick<Gateway, 'api'>,
  id: string,
  ...statuses: string[]
): Promise<SessionAnswer> {
  let seen = '';
  return eventually(
    `session ${statuses.join(' or ')}`,
    async () => {
      const session = await gateway.api.json<SessionAnswer>('GET', `/sessions/${id}`);
      if (session.status === 'failed' && !statuses.includes('failed'))
        throw new Error(`the session failed: ${session.end_message}`);
      seen = session.status;
      return statuses.includes(session.status) && session;
    },
    180_000,
  ).catch((error: Error) => {
    throw new Error(`${error.message}; it is ${seen}`, { cause: error });
  });
}

/** The session once a connection to it has failed. */
export const attemptedSession = (gateway: Pick<Gateway, 'api'>, id: string): Promise<SessionAnswer> =>
  eventually('a failed attempt', async () => {
    const session = await gateway.api.json<SessionAnswer>('GET', `/sessions/${id}`);
    return (session.last_attempt ?? null) !== null && session;
  });

export const verifySession = (gateway: Pick<Gateway, 'api'>, id: string): Promise<VerificationReport> =>
  gateway.api.json<VerificationReport>('POST', `/sessions/${id}/verify`, {});

const keyOf = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, 'base64'));

/** The keys the API hands to the player. */
export async function keysFor(api: RawClient, id: string, inputs: boolean): Promise<SessionKeys> {
  type Answer = { key: string; inputs_key?: string };
  const { key, inputs_key } = await api.json<Answer>('GET', `/sessions/${id}/key?inputs=${inputs}`);
  return { view: keyOf(key), inputs: inputs_key === undefined ? null : keyOf(inputs_key) };
}

/** Every frame of a stored session, decrypted with the keys the API hands to the player. */
export async function readRecording({ api }: Pick<Gateway, 'api'>, id: string, inputs = true): Promise<Frame[]> {
  const keys = await keysFor(api, id, inputs);
  const { chunks } = await api.json<{ chunks: { chunk_id: string }[] }>('GET', `/sessions/${id}/chunks?limit=1000`);
  const frames: Frame[] = [];
  for (const { chunk_id } of chunks) {
    const answer = await api.send('GET', `/sessions/${id}/chunks/${chunk_id}/download`);
    const opened = await openChunk(nodeCrypto, keys, new Uint8Array(await answer.arrayBuffer()));
    if (!opened.opened) throw new Error(`${chunk_id}: ${opened.finding} ${opened.message}`);
    const sealed = await nodeDecompressor.decompress(opened.header.compression, opened.compressed, PAYLOAD_BYTES_MAX);
    for (const frame of readPayload(await openInputs(nodeCrypto, opened.inputs, sealed))) frames.push(frame);
  }
  return frames;
}

/** The stored file of a chunk, as the operating system sees it. */
export async function chunkPath({ api, lucid }: Gateway, id: string, sequenceNumber: number): Promise<string> {
  const { chunks } = await api.json<{ chunks: { sequence_number: number; storage_path: string }[] }>(
    'GET',
    `/sessions/${id}/chunks?limit=1000`,
  );
  const chunk = chunks.find(({ sequence_number }) => sequence_number === sequenceNumber);
  if (chunk === undefined) throw new Error(`session ${id} has no chunk ${sequenceNumber}`);
  return join(lucid.directory.root, 'chunks', chunk.storage_path);
}

export const readText = (path: string): string => readFileSync(path, 'utf8');
