/** A real S3 server (`.ci/install-seaweedfs`), on ports and a directory of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { eventually, peerPath, skipUnlessPeers } from './peers.ts';
import { freePorts } from './ports.ts';
import { endChild, endsWithUs } from './server-child.ts';

export interface S3ServerAddress {
  endpoint: string;
  accessKeyId: string;
  secretAccessKey: string;
}

export class SeaweedFs implements S3ServerAddress {
  readonly endpoint: string;
  readonly accessKeyId = 'test-access';
  readonly secretAccessKey = 'test-secret-key';
  readonly #home: string;
  readonly #flags: readonly string[];
  #process: ChildProcess | null = null;

  private constructor(ports: readonly number[], home: string) {
    this.#home = home;
    this.endpoint = `http://127.0.0.1:${ports[0]}`;
    const credentials = [{ accessKey: this.accessKeyId, secretKey: this.secretAccessKey }];
    const identities = [{ name: 'admin', credentials, actions: ['Admin', 'Read', 'Write', 'List', 'Tagging'] }];
    // Encryption by the server: keys of a provider that makes them as they are named.
    const kms = { default_provider: 'local', providers: { local: { type: 'local', enableOnDemandCreate: true } } };
    writeFileSync(join(home, 's3.json'), JSON.stringify({ identities, kms }), { mode: 0o600 });
    mkdirSync(join(home, 'data'), { mode: 0o700 });
    const [s3, s3Grpc, master, masterGrpc, volume, volumeGrpc, filer, filerGrpc] = ports;
    const listen = { s3, master, volume, filer };
    const grpc = { s3: s3Grpc, master: masterGrpc, volume: volumeGrpc, filer: filerGrpc };
    this.#flags = [
      ...Object.entries(listen).map(([part, port]) => `-${part}.port=${port}`),
      ...Object.entries(grpc).map(([part, port]) => `-${part}.port.grpc=${port}`),
      ...['-s3', `-s3.config=${join(home, 's3.json')}`, '-s3.iam=false', '-s3.port.iceberg=0', '-s3.port.lance=0'],
      ...['-ip=127.0.0.1', '-ip.bind=127.0.0.1', `-dir=${join(home, 'data')}`],
      ...['-master.volumeSizeLimitMB=128', '-volume.max=64', '-master.telemetry=false'],
    ];
  }

  static async start(): Promise<SeaweedFs> {
    const server = new SeaweedFs(await freePorts(8), mkdtempSync(join(tmpdir(), 'lucid-seaweedfs-')));
    try {
      await server.begin();
      return server;
    } catch (thrown) {
      await server.stop();
      throw thrown;
    }
  }

  /** Starts it (again), on what it holds. */
  async begin(): Promise<void> {
    const log = `exec weed -logtostderr=true server "$@" >>"$LOG" 2>&1`;
    const child = spawn('sh', ['-c', log, 'weed', ...this.#flags], {
      env: {
        PATH: peerPath(),
        WEED_S3_SSE_KEK: '11'.repeat(32),
        HOME: this.#home,
        TMPDIR: this.#home,
        LOG: join(this.#home, 'log'),
      },
      stdio: 'ignore',
      cwd: this.#home,
    });
    this.#process = endsWithUs(child);
    await eventually(
      'an answer of SeaweedFS',
      async () => {
        if (child.exitCode !== null) throw new Error(`SeaweedFS ended: ${this.log().slice(-2000)}`);
        const answer = await fetch(`${this.endpoint}/healthz`).catch(() => null);
        return answer?.ok === true;
      },
      120_000,
    );
  }

  log(): string {
    return readFileSync(join(this.#home, 'log'), 'utf8');
  }

  /** Stands still, as a machine that is paused does; `false` lets it go on. */
  pause(isPaused: boolean): void {
    this.#process?.kill(isPaused ? 'SIGSTOP' : 'SIGCONT');
  }

  /** As a power cut of its machine would, but for what the system had not written to its disk. */
  async end(): Promise<void> {
    await endChild(this.#process);
  }

  async stop(): Promise<void> {
    await this.end();
    rmSync(this.#home, { recursive: true, force: true });
  }
}

/**
 * The S3 server tests use: the one `LUCID_TEST_S3` names (`http://KEY:SECRET@HOST:PORT`), else a SeaweedFS of this process's own.
 * Null when there is neither: the test is skipped.
 */
export async function s3Server(t: TestContext): Promise<(S3ServerAddress & { stop(): Promise<void> }) | null> {
  const named = process.env.LUCID_TEST_S3;
  if (named !== undefined && named !== '') {
    const url = new URL(named);
    const [accessKeyId, secretAccessKey] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
    return { endpoint: url.origin, accessKeyId, secretAccessKey, stop: async () => {} };
  }
  if (skipUnlessPeers(t, 'seaweedfs')) return null;
  return SeaweedFs.start();
}
