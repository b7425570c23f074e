/** Real Redis servers of their own directory and ports (`.ci/install-redis`): one, one with a replica and sentinels, or a cluster. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually, peerPath } from './peers.ts';
import { freePort, freePorts } from './ports.ts';
import { endChild, endsWithUs } from './server-child.ts';

export class RedisServer {
  readonly port: number;
  readonly password: string | null;
  readonly #home: string;
  readonly #args: readonly string[];
  #process: ChildProcess | null = null;

  constructor(
    port: number,
    { password = null, args = [] }: { password?: string | null; args?: readonly string[] } = {},
  ) {
    this.port = port;
    this.password = password;
    this.#home = mkdtempSync(join(tmpdir(), 'lucid-redis-'));
    this.#args = [...args, ...(password === null ? [] : ['--requirepass', password])];
  }

  static async start(options: { password?: string | null; args?: readonly string[] } = {}): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), options);
    await server.begin();
    return server;
  }

  /** Starts it (again), empty. */
  async begin(): Promise<void> {
    const where = [
      '--port',
      String(this.port),
      '--bind',
      '127.0.0.1',
      '--dir',
      this.#home,
      '--save',
      '',
      '--appendonly',
      'no',
    ];
    const config = this.#args[0]?.endsWith('.conf') ? [this.#args[0]] : [];
    const child = spawn('redis-server', [...config, ...where, ...this.#args.slice(config.length)], {
      env: { PATH: peerPath() },
      stdio: 'ignore',
    });
    this.#process = endsWithUs(child);
    await eventually('an answer of Redis', () => {
      if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`);
      return this.ask('PING').then(
        (answer) => answer === 'PONG',
        () => false,
      );
    });
  }

  async ask(...command: string[]): Promise<string> {
    const env = { PATH: peerPath(), ...(this.password === null ? {} : { REDISCLI_AUTH: this.password }) };
    const { stdout } = await promisify(execFile)('redis-cli', ['-p', String(this.port), ...command], { env });
    return stdout.trim();
  }

  /** A file beside its data. */
  file(name: string, text: string): string {
    const path = join(this.#home, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process?.kill(signal);
  }

  async end(): Promise<void> {
    await endChild(this.#process);
  }

  async stop(): Promise<void> {
    await this.end();
    rmSync(this.#home, { recursive: true, force: true });
  }
}

export interface RedisServers {
  url: string;
  /** Of the set: data first, then sentinels. */
  servers: readonly RedisServer[];
  stop(): Promise<void>;
}

const stopAll = (servers: readonly RedisServer[]) => async () => {
  for (const server of servers) await server.stop();
};

/** A master, a replica and three sentinels, which fail over after a second. */
export async function startRedisSentinels(): Promise<RedisServers> {
  const master = await RedisServer.start();
  const replica = await RedisServer.start({ args: ['--replicaof', `127.0.0.1 ${master.port}`] });
  const sentinels: RedisServer[] = [];
  for (const port of await freePorts(3)) {
    const home = mkdtempSync(join(tmpdir(), 'lucid-redis-'));
    const config = join(home, 'sentinel.conf');
    writeFileSync(
      config,
      `sentinel monitor lucid 127.0.0.1 ${master.port} 2\nsentinel down-after-milliseconds lucid 1000\nsentinel failover-timeout lucid 3000\n`,
      { mode: 0o600 },
    );
    const sentinel = new RedisServer(port, { args: [config, '--sentinel'] });
    await sentinel.begin();
    sentinels.push(sentinel);
  }
  await eventually('sentinels that know each other', async () => {
    const answers = await Promise.all(sentinels.map((sentinel) => sentinel.ask('INFO', 'sentinel')));
    return answers.every((answer) => answer.includes('slaves=1,sentinels=3'));
  });
  const servers = [master, replica, ...sentinels];
  const nodes = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',');
  return { url: `redis+sentinel://${nodes}/lucid`, servers, stop: stopAll(servers) };
}

/** Three masters. */
export async function startRedisCluster(): Promise<RedisServers> {
  // By itself each would talk to the others at its port + 10000, which may be anybody's.
  const servers = await Promise.all(
    (await freePorts(3)).map((busPort) =>
      RedisServer.start({
        args: ['--cluster-enabled', 'yes', '--cluster-node-timeout', '3000', '--cluster-port', String(busPort)],
      }),
    ),
  );
  const nodes = servers.map(({ port }) => `127.0.0.1:${port}`);
  await servers[0]!.ask('--cluster', 'create', ...nodes, '--cluster-yes');
  await eventually('a cluster', async () => (await servers[0]!.ask('CLUSTER', 'INFO')).includes('cluster_state:ok'));
  return { url: `redis+cluster://${nodes.join(',')}`, servers, stop: stopAll(servers) };
}
