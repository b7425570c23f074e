/**
 * A small server that follows the REST contract over sessions held in memory: what the console is developed and tested against.
 * Tests only. It notes every request, and what the browser reports about the content security policy.
 */
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import type { SessionDocument } from '@lucid-sessions/contract';
import {
  isPermitted,
  noStatistics,
  permissions,
  type SessionSort,
  sessionOrderOf,
  sessionPlacesOf,
  sessionWord,
  sessionWordKinds,
  sessionWordsOf,
} from '@lucid-sessions/contract';
import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import { SessionIndexer } from '@lucid-sessions/recording/session-index';
import { evidenceTar, type SealedRecording } from './recording.ts';

export const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob: data:",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "form-action 'none'",
].join('; ');

/** The player's worker alone may compile WebAssembly. */
const workerPolicy = contentSecurityPolicy.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'");

export interface HeldSession {
  session: SessionDocument;
  recording?: SealedRecording;
}

export interface ContractServer {
  url: string;
  sessions: Map<string, HeldSession>;
  /** Paths asked for, with their method. */
  requests: string[];
  audit: Record<string, unknown>[];
  deletions: { id: string; reason: string }[];
  searches: SearchAsked[];
  filters: { name: string; query: string }[];
  targets: Map<string, Record<string, unknown>>;
  alerts: Record<string, unknown>[];
  rules: Map<string, Record<string, unknown>>;
  /** Identity keys the installation does not name as its own. */
  untrusted: Set<string>;
  close(): Promise<void>;
}

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** What the session cookie holds of a browser that is signed in; anything else is 401. */
export function makeToken(userId = 'alice', roles: string[] = ['admin']): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS256' })}.${part({ user_id: userId, roles, type: 'access' })}.accepted`;
}

export async function startContractServer(consoleRoot: string, held: HeldSession[]): Promise<ContractServer> {
  const state: Omit<ContractServer, 'url' | 'close'> = {
    sessions: new Map(held.map((one) => [one.session.session_id, one])),
    requests: [],
    untrusted: new Set(),
    deletions: [],
    searches: [],
    filters: [],
    targets: new Map([[billing.target_id, billing]]),
    alerts: held.slice(0, 1).map(({ session }) => alertOf(session)),
    rules: new Map([[tables.rule_id, tables]]),
    audit: held.flatMap(({ session }) => auditOf(session)),
  };
  const server: Server = createServer((request, response) => {
    answer(state, consoleRoot, request, response).catch((error: unknown) => {
      response.writeHead(500).end(String(error));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    ...state,
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

type State = Omit<ContractServer, 'url' | 'close'>;

async function answer(
  state: State,
  consoleRoot: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<unknown> {
  const url = new URL(request.url ?? '/', 'http://localhost');
  state.requests.push(`${request.method} ${url.pathname}${url.search}`);
  if (!url.pathname.startsWith('/api/v1/')) return sendFile(consoleRoot, url.pathname, response);
  const parts = url.pathname.slice('/api/v1/'.length).split('/');
  const body = await readBody(request);
  const cookie = /lucid-session=(\S+?)(?:;|$)/.exec(request.headers.cookie ?? '')?.[1] ?? '';
  if (parts[0] === 'auth') return auth(parts[1] ?? '', cookie, body, response);
  if (!cookie.endsWith('.accepted')) return refuse(response, 401, 'LUCID_ERR_3011', 'the sign-in has ended');
  if (request.method !== 'GET' && request.headers['x-csrf-token'] !== csrfToken)
    return refuse(response, 403, 'LUCID_ERR_3012', 'send x-csrf-token');
  return route(state, request.method ?? 'GET', parts, url.searchParams, body, response);
}

const csrfToken = 'told-by-auth-session';
export const testPassword = 'correct horse battery staple';

function whoIs(cookie: string) {
  const { user_id, roles } = JSON.parse(Buffer.from(cookie.split('.')[1] ?? '', 'base64url').toString());
  const may = permissions.filter((permission) => isPermitted(roles, permission));
  return {
    user_id,
    display_name: '',
    roles,
    permissions: may,
    method: 'password',
    csrf_token: csrfToken,
    expires_at: null,
  };
}

function auth(part: string, cookie: string, body: string, response: ServerResponse): ServerResponse {
  const setCookie = (value: string, age: number) =>
    response.setHeader('Set-Cookie', `lucid-session=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${age}`);
  if (part === 'ways') return sendJson(response, { password: true, passkey: false, providers: [], has_accounts: true });
  if (part === 'sign-in') {
    const { user_id, password } = JSON.parse(body) as { user_id: string; password: string };
    if (password !== testPassword) return refuse(response, 401, 'LUCID_ERR_3011', 'user name or password is wrong');
    const made = makeToken(user_id);
    setCookie(made, 3600);
    return sendJson(response, whoIs(made));
  }
  if (part === 'session') return sendJson(response, cookie.endsWith('.accepted') ? whoIs(cookie) : { user_id: null });
  setCookie('', 0);
  return sendJson(response, { redirect: null });
}

async function sendFile(root: string, path: string, response: ServerResponse): Promise<void> {
  const isFile = (path.startsWith('/assets/') && !path.includes('..')) || path === '/court.html';
  const name = isFile ? path : '/index.html';
  const file = await readFile(join(root, name)).catch(() => null);
  if (file === null) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, {
    'Content-Type': types[extname(name)] ?? 'application/octet-stream',
    'Content-Security-Policy': name.startsWith('/assets/worker-') ? workerPolicy : contentSecurityPolicy,
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(file);
}

async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}

function sendJson(response: ServerResponse, value: unknown, status = 200): ServerResponse {
  return response
    .writeHead(status, { 'Content-Type': 'application/json', 'X-Request-ID': 'test' })
    .end(JSON.stringify(value));
}

function refuse(response: ServerResponse, status: number, code: string, message: string): ServerResponse {
  return sendJson(
    response,
    { error: { code, message, details: {}, request_id: 'test', timestamp: new Date(0).toISOString() } },
    status,
  );
}

function route(
  state: State,
  method: string,
  parts: string[],
  query: URLSearchParams,
  body: string,
  response: ServerResponse,
): ServerResponse {
  const [resource, id, part, chunkId, last] = parts;
  if (resource === 'health') return sendJson(response, health);
  if (resource === 'users') return sendJson(response, userAnswers(id, part));
  if (resource === 'targets') return sendJson(response, targetAnswers(state, method, id, body));
  if (resource === 'account' && id === 'filters') return sendJson(response, filterAnswers(state, method, query, body));
  if (resource === 'alerts') return sendJson(response, { alerts: state.alerts, next: null });
  if (resource === 'alert-rules') return sendJson(response, ruleAnswers(state, method, id, body));
  if (resource === 'account') return sendJson(response, accountAnswers(id));
  if (resource === 'audit' && id === 'export')
    return response
      .writeHead(200, { 'Content-Type': 'application/x-ndjson' })
      .end(state.audit.map((event) => `${JSON.stringify(event)}\n`).join(''));
  if (resource === 'audit') return listAudit(state, query, response);
  if (resource === 'search') return sendJson(response, searched(state, JSON.parse(body) as SearchAsked));
  if (resource === 'evidence') return sendJson(response, trustPolicy(state));
  if (resource !== 'sessions') return refuse(response, 404, 'LUCID_ERR_3018', 'no such route');
  if (id === undefined) return method === 'POST' ? create(state, body, response) : list(state, query, response);
  if (id === 'statistics') return sendJson(response, systemStatistics(state));
  const held = state.sessions.get(id);
  if (!held) return refuse(response, 404, 'LUCID_ERR_3001', 'session not found');
  if (part === undefined) {
    if (method === 'DELETE') {
      const { confirm, reason } = JSON.parse(body || '{}') as { confirm?: string; reason?: string };
      if (confirm !== held.session.name || !reason) return refuse(response, 400, 'LUCID_ERR_3002', 'say why');
      state.deletions.push({ id, reason });
      state.sessions.delete(id);
    }
    return sendJson(
      response,
      method === 'DELETE' ? { session_id: id, status: 'deleted', deleted_at: new Date().toISOString() } : view(held),
    );
  }
  if (part === 'grants') return sendJson(response, { grants: [grantOf(id)] });
  if (part === 'chunks') return chunks(held, query, chunkId, last, response);
  if ((part === 'records' || part === 'evidence') && held.recording) {
    const { chunks: files } = held.recording;
    const tar = part === 'records' ? evidenceTar(held.recording) : evidenceTar(held.recording, (at) => files[at]!.file);
    void tar.then((tar) => response.writeHead(200, { 'Content-Type': 'application/x-tar' }).end(tar));
    return response;
  }
  if (part === 'index' && held.recording) return sendJson(response, indexOf(held.recording));
  if (part === 'keyframes') return sendJson(response, noKeyframes);
  if (part === 'manifest' && held.recording)
    return sendJson(response, {
      session_id: id,
      merkle_root: held.recording.merkleRoot,
      chunks_count: held.recording.chunks.length,
    });
  if (part === 'key' && held.recording)
    return sendJson(response, {
      session_id: id,
      key_id: '',
      key: Buffer.from(held.recording.keys.view).toString('base64'),
    });
  if (method === 'POST' && ['start', 'stop', 'pause', 'resume'].includes(part)) {
    held.session.status = part === 'stop' ? 'stopped' : part === 'pause' ? 'paused' : 'recording';
    return sendJson(response, { session_id: id, status: held.session.status });
  }
  if (method === 'POST' && part === 'credential')
    return sendJson(response, {
      session_id: id,
      username: 'lucid-7k3f9q2mx4tz',
      password: 'abcd-efgh-jkmn-pqrs-tuvw-xyz2',
      issued_at: '2026-01-01T00:00:00.000Z',
      expires_at: '2026-01-01T00:10:00.000Z',
      address: 'gateway.example:3389',
      warnings: ['clients are sent to localhost'],
    });
  if (part === 'rdp-file') {
    const warning = { 'x-lucid-warning': 'files point at localhost' };
    response.writeHead(200, { 'Content-Type': 'application/x-rdp', ...warning });
    return response.end('full address:s:127.0.0.1:3389\r\nloadbalanceinfo:s:Cookie: msts=secret\r\n');
  }
  if (part === 'replay')
    return sendJson(response, { session_id: id, examined_at: null, walking: false, walked_chunks: 0, chunks: 2 });
  if (part === 'pipeline') return sendJson(response, { session_id: id, pipeline_status: 'active', stages: [] });
  return refuse(response, 404, 'LUCID_ERR_3021', 'not there yet');
}

const billing = {
  target_id: 'billing',
  version: 3,
  name: 'Billing database',
  description: 'Behind the firewall of the accounts department',
  rdp_config: {
    host: '2001:db8::17',
    port: 3390,
    use_tls: true,
    ignore_cert: false,
    pinned_sha256: '5c'.repeat(32),
    channels: { clipboard: 'in', drives: false },
    route_by_name: true,
  },
  credentials: { source: 'vault', engine: 'kv', mount: 'secret', path: 'rdp/billing' },
  recording_config: { approval: true, graphics: 'classic' },
  storage_config: { retention_days: 90 },
  metadata: { project: 'finance', environment: 'production', tags: ['database', 'pci'] },
  connect: { roles: ['session_operator'], users: ['ada'] },
  may_connect: true,
  created_at: '2026-11-20T08:00:00Z',
  created_by: 'alice',
  changed_at: '2026-11-21T08:00:00Z',
  changed_by: 'bob',
};

function targetAnswers(state: State, method: string, id: string | undefined, body: string): unknown {
  if (id === 'check')
    return {
      reached: true,
      message: 'it answered by RDP; without a pin its certificate is not trusted: it is self-signed',
      address: '192.0.2.17',
      certificate: {
        sha256: 'a7'.repeat(32),
        subject: 'CN=ledger.example',
        issuer: 'CN=ledger.example',
        valid_from: '2026-01-01T00:00:00Z',
        valid_to: '2027-01-01T00:00:00Z',
        tls: 'TLSv1.3 TLS_AES_256_GCM_SHA384',
        trusted: false,
        problem: 'it is self-signed',
      },
    };
  if (method === 'GET') return { targets: [...state.targets.values()], next: null, free_addresses: false };
  if (method === 'DELETE') {
    state.targets.delete(id!);
    return { target_id: id, removed: true };
  }
  const { target_credentials: _, ...said } = JSON.parse(body) as Record<string, unknown>;
  const made = { ...billing, credentials: { source: 'none' }, ...said, target_id: id ?? 'made', version: 1 };
  state.targets.set(made.target_id, made);
  return made;
}

const grantOf = (sessionId: string) => ({
  session_id: sessionId,
  user_id: 'zoe',
  reason: 'case 12',
  granted_by: 'alice',
  granted_at: '2026-11-20T08:00:00Z',
  expires_at: '2026-12-20T08:00:00Z',
});

const tables = {
  rule_id: '3f0a4d5e-0000-4000-8000-000000000001',
  ...{ name: 'destroys tables', severity: 'critical', end_session: true, enabled: true },
  condition: {
    ...{ kind: 'pattern', pattern: '\\bdrop\\s+table\\b', in: ['typed'] },
    ...{ match_case: false, before_logon: false },
  },
  ...{ created_at: '2026-11-30T10:00:00.000Z', created_by: 'ada', changed_at: '2026-11-30T10:00:00.000Z' },
};

const alertOf = ({ session_id, name, rdp_config }: SessionDocument): Record<string, unknown> => ({
  ...{ alert_id: '7219520000000000-0123456789abcdef', session_id, session_name: name, host: rdp_config.host },
  ...{ person: 'ada', rule_id: tables.rule_id, rule_name: tables.name, severity: tables.severity },
  ...{ at: '2026-11-30T10:00:02.500Z', time_us: 2_500_000, chunk: 1, more: 2, ended_session: true },
  recording_url: `/sessions/${session_id}#t=2.5`,
});

function ruleAnswers(state: State, method: string, id: string | undefined, body: string): unknown {
  if (method === 'GET') return { rules: [...state.rules.values()] };
  if (method === 'DELETE') {
    state.rules.delete(id!);
    return { rule_id: id, removed: true };
  }
  const rule = { ...tables, rule_id: id ?? '3f0a4d5e-0000-4000-8000-000000000002', ...(JSON.parse(body) as object) };
  state.rules.set(rule.rule_id, rule);
  return rule;
}

const ada = {
  user_id: 'ada',
  display_name: 'Ada L.',
  roles: ['auditor', 'session_manager'],
  permissions: permissions.filter((permission) => isPermitted(['auditor', 'session_manager'], permission)),
  scope: { own: true, projects: ['finance'], labels: [], targets: ['billing'] },
  disabled: false,
  has_password: true,
  has_totp: true,
  passkeys: 1,
  recovery_codes: 9,
  provider: null,
  created_at: '2026-11-20T08:00:00Z',
  created_by: 'alice',
  signed_in_at: null,
};
const signIns = [true, false].map((current) => ({
  sign_in_id: (current ? 'a' : 'b').repeat(64),
  method: 'password_and_code',
  created_at: '2026-11-20T08:00:00Z',
  seen_at: '2026-11-20T09:00:00Z',
  expires_at: '2026-11-20T20:00:00Z',
  ip_address: '192.0.2.9',
  user_agent: 'Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0',
  current,
}));
const tokens = [null, ['sessions:read']].map((may, at) => ({
  token_id: `token-${at}`,
  name: `backup ${at}`,
  permissions: may,
  scope: null,
  created_at: '2026-11-20T08:00:00Z',
  expires_at: '2026-12-20T08:00:00Z',
  used_at: null,
  used_from: null,
}));

function userAnswers(id: string | undefined, part: string | undefined): unknown {
  if (id === undefined) return { users: [ada, { ...ada, user_id: 'bob', disabled: true, passkeys: 0 }], next: null };
  return part === 'tokens' ? { tokens } : { sign_ins: signIns };
}

function accountAnswers(part: string | undefined): unknown {
  if (part === 'sign-ins') return { sign_ins: signIns };
  if (part === 'tokens') return { tokens };
  const passkey = { passkey_id: 'c'.repeat(64), name: 'telephone', created_at: ada.created_at, used_at: null };
  return { user: ada, passkeys: [passkey], totp_possible: true };
}

function filterAnswers(state: State, method: string, query: URLSearchParams, body: string): unknown {
  const put = method === 'PUT' ? (JSON.parse(body) as { name: string; query: string }) : null;
  const name = put?.name ?? query.get('name');
  const { filters } = state;
  if (name !== null) filters.splice(0, filters.length, ...filters.filter((filter) => filter.name !== name));
  if (put !== null) filters.push(put);
  return { filters };
}

const pagination = (total: number) => ({ total, limit: 10_000, offset: 0, has_next: false, has_previous: false });
const noKeyframes = { covered_chunks: 1_000_000, ended: null, keyframes: [], pagination: pagination(0) };

/** The index as the API gives it, made by the services' own indexer. */
function indexOf({ sessionId, frames }: SealedRecording): unknown {
  const indexer = new SessionIndexer();
  for (const frame of frames) indexer.push({ ...frame, channelId: 0 });
  const { events, activity } = indexer.take(0, true);
  const snaked = JSON.stringify(events).replaceAll(/"[A-Za-z]+":/g, (name) =>
    name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
  );
  return {
    session_id: sessionId,
    inputs: true,
    complete: true,
    dropped: 0,
    chunks: 1,
    events: JSON.parse(snaked) as unknown,
    activity: activity.map((row) => [row.second, row.serverBytes, row.clientBytes, row.updates, row.inputs]),
    pagination: pagination(events.length),
  };
}

function trustPolicy(state: State): unknown {
  const keys = [...state.sessions.values()].flatMap(({ recording }) => (recording ? [recording.identityKey] : []));
  return { v: 1, identity_keys: keys.filter((key) => !state.untrusted.has(key)).map((key) => ({ key })), log_keys: [] };
}

function view({ session }: HeldSession): unknown {
  const { version: _version, pipeline_state: _state, ...rest } = session;
  return rest;
}

function page<T>(
  all: T[],
  query: URLSearchParams,
  limitFallback: number,
): { rows: T[]; pagination: Record<string, unknown> } {
  const limit = Number(query.get('limit') ?? limitFallback);
  const offset = Number(query.get('offset') ?? 0);
  return {
    rows: all.slice(offset, offset + limit),
    pagination: { total: all.length, limit, offset, has_next: offset + limit < all.length, has_previous: offset > 0 },
  };
}

function list(state: State, query: URLSearchParams, response: ServerResponse): ServerResponse {
  const words = (query.get('search') ?? '').toLowerCase();
  const all = [...state.sessions.values()].filter(({ session }) => {
    const { name, session_id: id, status, metadata, rdp_config: rdp } = session;
    const text = [name, id, rdp.host, metadata.owner, ...(metadata.tags ?? [])].join(' ').toLowerCase();
    return (
      text.includes(words) &&
      (query.get('status') ?? status) === status &&
      (query.get('project') ?? metadata.project) === metadata.project &&
      (query.get('environment') ?? metadata.environment) === metadata.environment &&
      (query.get('outcome') ?? session.outcome ?? null) === (session.outcome ?? null) &&
      sessionWordKinds.every((kind) => {
        const word = query.get(kind);
        return word === null || sessionWordsOf(session)[kind].includes(sessionWord(word));
      })
    );
  });
  const sort = query.get('sort') as SessionSort | null;
  if (sort !== null) {
    const order = query.get('order');
    const { descending } = sessionOrderOf({ sort, ...(order !== null && { descending: order === 'desc' }) });
    all.sort(({ session: a }, { session: b }) => {
      const [one, other] = [sessionPlacesOf(a)[sort], sessionPlacesOf(b)[sort]];
      return (one < other ? -1 : one > other ? 1 : 0) * (descending ? -1 : 1);
    });
  }
  const { rows, pagination } = page(all, query, 50);
  return sendJson(response, { sessions: rows.map(view), pagination });
}

function create(state: State, body: string, response: ServerResponse): ServerResponse {
  const asked = JSON.parse(body) as Partial<SessionDocument>;
  const target = state.targets.get(asked.target_id ?? '') as Pick<SessionDocument, 'name' | 'rdp_config'> | undefined;
  const wish = target === undefined ? asked : { ...asked, name: target.name, rdp_config: target.rdp_config };
  if (!wish.name || !wish.rdp_config?.host)
    return refuse(response, 400, 'LUCID_ERR_3002', 'a session needs a name and a host');
  const session = makeSession({
    session_id: `made-${state.sessions.size}`,
    name: wish.name,
    status: 'created',
    started_at: null,
  });
  session.rdp_config = { ...session.rdp_config, ...wish.rdp_config };
  state.sessions.set(session.session_id, { session });
  return sendJson(response, view({ session }), 201);
}

function chunks(
  held: HeldSession,
  query: URLSearchParams,
  chunkId: string | undefined,
  last: string | undefined,
  response: ServerResponse,
): ServerResponse {
  const all = held.recording?.chunks ?? [];
  if (chunkId === undefined) {
    const { rows, pagination } = page(
      all.map((_, i) => chunkView(held, i)),
      query,
      100,
    );
    return sendJson(response, { chunks: rows, pagination });
  }
  const index = all.findIndex((chunk) => chunk.chunkId === chunkId);
  const chunk = all[index];
  if (!chunk) return refuse(response, 404, 'LUCID_ERR_3005', 'chunk not found');
  if (last !== 'download') return sendJson(response, chunkView(held, index));
  response.writeHead(200, {
    'Content-Type': 'application/octet-stream',
    'Content-Disposition': `attachment; filename="${chunkId}.lsc"`,
  });
  return response.end(chunk.file);
}

function chunkView(held: HeldSession, index: number): Record<string, unknown> {
  const chunk = held.recording!.chunks[index]!;
  return {
    chunk_id: chunk.chunkId,
    session_id: held.session.session_id,
    sequence_number: index + 1,
    timestamp: new Date(chunk.openedUs / 1000).toISOString(),
    status: 'stored',
    size_bytes: chunk.file.length,
    duration_seconds: (chunk.closedUs - chunk.openedUs) / 1e6,
    frame_count: chunk.framesCount,
    merkle_hash: chunk.leafHash,
    storage_path: `${index}`,
    compression_ratio: 0.5,
    quality_score: 100,
    encryption_key_id: 'k1',
  };
}

interface SearchAsked {
  text: string;
  reason: string;
  inputs: boolean;
}

/** One hit in each recording; what was asked is kept to be looked at. */
function searched(state: State, asked: SearchAsked): Record<string, unknown> {
  state.searches.push(asked);
  const recorded = [...state.sessions.values()].filter(({ recording }) => recording !== undefined);
  return {
    recordings: recorded.map(({ session }) => ({
      session_id: session.session_id,
      name: session.name,
      created_at: session.created_at,
      host: session.rdp_config.host,
      user: session.rdp_config.username ?? null,
      recording_url: `/sessions/${session.session_id}`,
      hits: [{ time_us: 2_500_000, kind: 'typed', excerpt: `sudo ${asked.text} <b>` }],
      more: true,
    })),
    searched: 40,
    not_indexed: 2,
    on_request: 1,
    unreadable: 0,
    complete: true,
    continue_at: null,
  };
}

function listAudit(state: State, query: URLSearchParams, response: ServerResponse): ServerResponse {
  const all = state.audit.filter((event) => {
    const at = String(event.timestamp);
    return (
      ['user_id', 'event_type', 'resource_id'].every((name) => (query.get(name) ?? event[name]) === event[name]) &&
      (query.get('start_time') ?? at) <= at &&
      at <= (query.get('end_time') ?? at)
    );
  });
  all.sort((one, other) => (String(one.timestamp) < String(other.timestamp) ? 1 : -1));
  const { rows, pagination } = page(all, query, 50);
  return sendJson(response, { events: rows, pagination });
}

function auditOf(session: SessionDocument): Record<string, unknown>[] {
  const event = (type: string, at: string | null, details: Record<string, unknown> = {}): Record<string, unknown> => ({
    event_id: `${session.session_id}-${type}`,
    timestamp: at ?? session.created_at,
    event_type: type,
    user_id: 'alice',
    resource_id: session.session_id,
    ip_address: '192.0.2.10',
    user_agent: 'test',
    success: true,
    error_message: null,
    details,
  });
  return [
    event('session_created', session.created_at, { name: session.name }),
    ...(session.started_at ? [event('session_started', session.started_at)] : []),
    ...(session.started_at ? [event('playback_started', session.stopped_at)] : []),
  ];
}

const health = {
  status: 'healthy',
  services: {
    pipeline: { status: 'healthy', message: null, sessions_live: 2 },
    recorder: { status: 'healthy', message: null, spool_bytes: 1_250_000 },
    processor: { status: 'healthy', message: null, workers: 2 },
    storage: { status: 'degraded', message: 'less than 10 % of the disk is free', free_bytes: 42_000_000_000 },
  },
  database: { status: 'healthy' },
};

/** A gigabyte less is free each time it is asked. */
function systemStatistics(state: State): RestAnswer<'systemStatistics'> {
  const asked = state.requests.filter((request) => request === 'GET /api/v1/sessions/statistics').length;
  return {
    system_stats: {
      sessions_total: state.sessions.size,
      sessions_by_status: { completed: state.sessions.size },
      sessions_live: 2,
      sessions_max: 100,
      uptime_seconds: 86_912,
    },
    performance_stats: {
      jobs_waiting: 3,
      jobs_running: 1,
      jobs_failed: 0,
      chunks_stored_since_start: 1284,
      average_chunk_seconds: 0.25,
    },
    storage_stats: {
      chunks_count: 1284,
      size_bytes: 18_400_000_000,
      recorded_bytes: 61_000_000_000,
      compression_ratio: 0.3,
      free_bytes: 42_000_000_000 - asked * 1_000_000_000,
      total_bytes: 100_000_000_000,
    },
  };
}

/** A session document with the contract's defaults. */
export function makeSession(fields: Partial<SessionDocument> & { session_id: string; name: string }): SessionDocument {
  return {
    description: null,
    status: 'completed',
    created_at: '2026-11-20T08:00:00.000Z',
    started_at: '2026-11-20T08:01:00.000Z',
    stopped_at: null,
    created_by: 'alice',
    rdp_config: { host: 'srv-01.example.net', port: 3389, username: 'jdoe', use_tls: true, ignore_cert: false },
    recording_config: {
      frame_rate: 30,
      resolution: '1920x1080',
      quality: 'high',
      compression: 'zstd',
      bitrate: 2_000_000,
      audio_enabled: false,
      cursor_enabled: true,
      graphics: 'passthrough',
      persistence: 'strict',
    },
    storage_config: {
      retention_days: 30,
      max_size_gb: 10,
      encryption_enabled: true,
      compression_enabled: true,
      backup_enabled: false,
      archive_enabled: false,
    },
    metadata: { project: 'payments', environment: 'production', owner: 'it-operations', tags: ['change-4711'] },
    statistics: { ...noStatistics, compression_ratio: 1 },
    end_reason: null,
    end_message: null,
    last_attempt: null,
    outcome: null,
    client_address: null,
    client_name: null,
    client_user: null,
    connections: 0,
    reconnect_until: null,
    merkle_root: null,
    version: 1,
    pipeline_state: 'destroyed',
    ...fields,
  };
}

/** A session with its recording, as it stands after completion. */
export function completedSession(
  recording: SealedRecording,
  fields: Partial<SessionDocument> & { name: string },
): HeldSession {
  const size = recording.chunks.reduce((sum, chunk) => sum + chunk.file.length, 0);
  const session = makeSession({
    session_id: recording.sessionId,
    started_at: new Date(recording.startedUs / 1000).toISOString(),
    stopped_at: new Date(recording.endedUs / 1000).toISOString(),
    end_reason: 'client_disconnected',
    end_message: 'the client disconnected',
    last_attempt: null,
    outcome: 'whole',
    client_address: '192.0.2.7:51234',
    client_name: 'LAPTOP',
    client_user: 'alice',
    connections: 1,
    merkle_root: recording.merkleRoot,
    ...fields,
  });
  session.statistics = {
    ...session.statistics,
    duration_seconds: (recording.endedUs - recording.startedUs) / 1e6,
    chunks_count: recording.chunks.length,
    size_bytes: size,
    frame_count: recording.chunks.reduce((sum, chunk) => sum + chunk.framesCount, 0),
  };
  return { session, recording };
}
