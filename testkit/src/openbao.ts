/**
 * A real OpenBao in memory, which speaks Vault's API (`.ci/install-openbao`), and a broker whose users it makes and removes: its RabbitMQ engine
 * gives credentials with a lease, and needs no more of a broker than this.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, peerPath } from './peers.ts';
import { freePort } from './ports.ts';
import { endChild, endsWithUs } from './server-child.ts';

export class OpenBao {
  readonly address: string;
  readonly rootToken = 'root-of-the-test';
  readonly #process: ChildProcess;
  readonly #home: string;

  private constructor(address: string, home: string) {
    this.address = address;
    this.#home = home;
    const listen = `-dev-listen-address=${new URL(address).host}`;
    const args = ['server', '-dev', `-dev-root-token-id=${this.rootToken}`, listen, '-dev-no-store-token'];
    this.#process = endsWithUs(spawn('bao', args, { env: { PATH: peerPath(), HOME: home }, stdio: 'ignore' }));
  }

  static async start(): Promise<OpenBao> {
    const bao = new OpenBao(`http://127.0.0.1:${await freePort()}`, mkdtempSync(join(tmpdir(), 'lucid-bao-')));
    await eventually('an answer of OpenBao', async () => {
      const health = await fetch(`${bao.address}/v1/sys/health`).catch(() => null);
      return health?.status === 200;
    });
    return bao;
  }

  /** As root. Answers what it says; throws where it refuses. */
  async ask(method: string, path: string, fields?: object): Promise<Record<string, unknown>> {
    const response = await fetch(`${this.address}/v1/${path}`, {
      method,
      headers: { 'x-vault-token': this.rootToken, 'content-type': 'application/json' },
      ...(fields === undefined ? {} : { body: JSON.stringify(fields) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`OpenBao answered ${response.status} to ${path}: ${text}`);
    return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
  }

  async stop(): Promise<void> {
    await endChild(this.#process, 'SIGTERM');
    rmSync(this.#home, { recursive: true, force: true });
  }
}

/** The management API of a broker, as far as OpenBao's engine asks it: who has an account. */
export class FakeBroker {
  readonly users = new Set<string>();
  #server: Server | null = null;

  async start(): Promise<string> {
    const server = createServer((request, response) => {
      const [, kind, name = ''] =
        /^\/api\/(users|permissions|topic-permissions)\/([^/]+)/.exec(request.url ?? '') ?? [];
      if (kind === 'users' && request.method === 'PUT') this.users.add(decodeURIComponent(name));
      if (kind === 'users' && request.method === 'DELETE') this.users.delete(decodeURIComponent(name));
      request.resume().once('end', () => response.writeHead(204).end());
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }
}
