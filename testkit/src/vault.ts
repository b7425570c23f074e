/** A transit engine after the API that HashiCorp documents for Vault, for tests of the client. It keeps no secret. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What it does to the next requests instead of its work. */
export type VaultMood =
  | { kind: 'well' }
  /** Answers this status. */
  | { kind: 'failing'; status: number }
  /** Takes requests and answers none. */
  | { kind: 'silent' }
  | { kind: 'huge' }
  /** Answers these fields in `data`. */
  | { kind: 'lying'; data: Record<string, unknown> }
  /** Answers this text. */
  | { kind: 'babbling'; text: string };

export interface VaultRequest {
  path: string;
  token: string | undefined;
  namespace: string | undefined;
  body: Record<string, string>;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

class Refusal extends Error {}

export class FakeVault {
  readonly requests: VaultRequest[] = [];
  /** Mount and key name, as in a path: `transit/lucid`. */
  readonly #keys = new Map<string, Buffer>();
  #token: string;
  mood: VaultMood = { kind: 'well' };
  /** After so many requests it is well again. */
  moodRequests = Number.POSITIVE_INFINITY;
  #server: Server | null = null;

  constructor({ token, keys }: { token: string; keys: readonly string[] }) {
    this.#token = token;
    for (const name of keys) this.#keys.set(name, randomBytes(32));
  }

  /** The token it takes from now on. */
  set token(token: string) {
    this.#token = token;
  }

  /** Answers its address. `port` starts it again where it was. */
  async start(port = 0): Promise<string> {
    const server = createServer((request, response) => {
      void this.#answer(request, response).catch(() => response.destroy());
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  #mood(): VaultMood {
    if (this.moodRequests === 0) this.mood = { kind: 'well' };
    this.moodRequests -= 1;
    return this.mood;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = JSON.parse(Buffer.concat(parts).toString() || '{}') as Record<string, string>;
    const { 'x-vault-token': token, 'x-vault-namespace': namespace } = request.headers as Record<string, string>;
    this.requests.push({ path: request.url ?? '', token, namespace, body });
    const send = (status: number, text: string): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(text);
    };
    const mood = this.#mood();
    if (mood.kind === 'silent') return;
    if (mood.kind === 'failing') return send(mood.status, JSON.stringify({ errors: [`token ${token}`] }));
    if (mood.kind === 'huge') return send(200, JSON.stringify({ data: { ciphertext: 'x'.repeat(1_000_000) } }));
    if (mood.kind === 'lying') return send(200, JSON.stringify({ data: mood.data }));
    if (mood.kind === 'babbling') return send(200, mood.text);
    if (token !== this.#token) return send(403, JSON.stringify({ errors: ['permission denied'] }));
    const path = /^\/v1\/(.+)\/(encrypt|decrypt)\/([^/]+)$/.exec(request.url ?? '');
    if (path === null || request.method !== 'POST') return send(404, JSON.stringify({ errors: [] }));
    try {
      const key = this.#keys.get(`${path[1]}/${path[3]}`);
      if (key === undefined) throw new Refusal('encryption key not found');
      send(200, JSON.stringify({ data: path[2] === 'encrypt' ? encrypt(key, body) : decrypt(key, body) }));
    } catch (error) {
      send(400, JSON.stringify({ errors: [error instanceof Refusal ? error.message : 'invalid request'] }));
    }
  }
}

function encrypt(key: Buffer, { plaintext = '', associated_data = '' }: Record<string, string>): object {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(associated_data, 'base64'));
  const sealed = Buffer.concat([nonce, cipher.update(Buffer.from(plaintext, 'base64')), cipher.final()]);
  return {
    ciphertext: `vault:v1:${Buffer.concat([sealed, cipher.getAuthTag()]).toString('base64')}`,
    key_version: 1,
  };
}

function decrypt(key: Buffer, { ciphertext = '', associated_data = '' }: Record<string, string>): object {
  const [prefix, version, text = ''] = ciphertext.split(':');
  const sealed = Buffer.from(text, 'base64');
  if (prefix !== 'vault' || version !== 'v1' || sealed.length < NONCE_BYTES + TAG_BYTES)
    throw new Refusal('invalid ciphertext: no prefix');
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES));
  decipher.setAAD(Buffer.from(associated_data, 'base64')).setAuthTag(sealed.subarray(-TAG_BYTES));
  const opened = decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES));
  try {
    return { plaintext: Buffer.concat([opened, decipher.final()]).toString('base64') };
  } catch {
    throw new Refusal('cipher: message authentication failed');
  }
}
