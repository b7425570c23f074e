/** A real PostgreSQL of its own data directory and port (`.ci/install-postgres`). It refuses to run as root: as root it runs as Debian's user `postgres`. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually, peerPath } from './peers.ts';
import { freePort } from './ports.ts';
import { endChild, endsWithUs } from './server-child.ts';

interface Owner {
  uid?: number;
  gid?: number;
}

function ownerOfServer(): Owner {
  if (process.getuid?.() !== 0) return {};
  const [, uid, gid] = /^postgres:[^:]*:(\d+):(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8')) ?? [];
  if (uid === undefined) throw new Error('there is no user postgres: run .ci/install-postgres');
  return { uid: Number(uid), gid: Number(gid) };
}

export interface PostgresServerOptions {
  /** Waits for the disk, as it must outside of tests. */
  durable?: boolean;
  settings?: Readonly<Record<string, string>>;
}

export class PostgresServer {
  readonly port: number;
  readonly user = 'lucid';
  readonly password = 'pass-of-the-test';
  readonly home: string;
  readonly #owner: Owner;
  readonly #settings: Readonly<Record<string, string>>;
  #process: ChildProcess | null = null;
  #schemas = 0;

  private constructor(port: number, { durable = false, settings = {} }: PostgresServerOptions) {
    this.port = port;
    this.#owner = ownerOfServer();
    this.home = mkdtempSync(join(tmpdir(), 'lucid-postgres-'));
    if (this.#owner.uid !== undefined) chownSync(this.home, this.#owner.uid, this.#owner.gid!);
    this.#settings = { ...(durable ? {} : { fsync: 'off' }), ...settings };
  }

  /** With a database and a superuser of the name `lucid`, and pg_trgm in it. */
  static async start(options: PostgresServerOptions = {}): Promise<PostgresServer> {
    const server = new PostgresServer(await freePort(), options);
    const secret = server.file('password', `${server.password}\n`);
    const how = ['--auth=scram-sha-256', `--pwfile=${secret}`, '--encoding=UTF8', '--no-locale', '--no-sync'];
    await server.#run('initdb', '-D', server.data, '-U', server.user, ...how);
    await server.begin();
    await server.#run('createdb', '-h', server.home, '-p', String(server.port), '-U', server.user, 'lucid');
    await server.sql('CREATE EXTENSION pg_trgm');
    return server;
  }

  /** A standby that follows `primary`. */
  static async follow(primary: PostgresServer): Promise<PostgresServer> {
    const server = new PostgresServer(await freePort(), { settings: primary.#settings });
    await primary.#run(
      'pg_basebackup',
      '-h',
      primary.home,
      '-p',
      String(primary.port),
      '-U',
      primary.user,
      '-R',
      '-c',
      'fast',
      '-D',
      server.data,
    );
    await server.begin();
    return server;
  }

  get data(): string {
    return join(this.home, 'data');
  }

  /** A file that the server can read and nobody else. */
  file(name: string, text: string): string {
    const path = join(this.home, name);
    writeFileSync(path, text, { mode: 0o600 });
    if (this.#owner.uid !== undefined) chownSync(path, this.#owner.uid, this.#owner.gid!);
    return path;
  }

  /** Starts it (again). */
  async begin(more: Readonly<Record<string, string>> = {}): Promise<void> {
    const own = { listen_addresses: '127.0.0.1', unix_socket_directories: this.home };
    const settings = { ...own, ...this.#settings, ...more };
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const child = spawn('postgres', ['-D', this.data, '-p', String(this.port), ...args], {
      ...this.#owner,
      cwd: this.home,
      env: { PATH: peerPath(), LC_ALL: 'C' },
      stdio: 'ignore',
    });
    this.#process = endsWithUs(child, 'SIGQUIT');
    await eventually('an answer of PostgreSQL', () => {
      if (child.exitCode !== null) throw new Error(`postgres ended with ${child.exitCode}`);
      return this.#run('pg_isready', '-h', this.home, '-p', String(this.port)).then(
        () => true,
        () => false,
      );
    });
  }

  /** Ends it as an operator would (SIGINT), or as a power cut (SIGQUIT). */
  async end(signal: 'SIGINT' | 'SIGQUIT' = 'SIGINT'): Promise<void> {
    await endChild(this.#process, signal);
  }

  /** A standby becomes the primary. */
  async promote(): Promise<void> {
    await this.#run('pg_ctl', 'promote', '-w', '-D', this.data);
  }

  /** As its superuser, over its socket. Answers what it says. */
  async sql(text: string): Promise<string> {
    const where = ['-h', this.home, '-p', String(this.port), '-U', this.user, '-d', 'lucid'];
    return (await this.#run('psql', ...where, '-v', 'ON_ERROR_STOP=1', '-qAtc', text)).trim();
  }

  /** As an operator's backup and restore would: pg_dump, pg_restore into a new database. */
  async copyTo(database: string): Promise<void> {
    const where = ['-h', this.home, '-p', String(this.port), '-U', this.user];
    const file = join(this.home, `${database}.dump`);
    await this.#run('pg_dump', ...where, '-Fc', '-f', file, 'lucid');
    await this.#run('createdb', ...where, database);
    await this.#run('pg_restore', ...where, '--exit-on-error', '-d', database, file);
  }

  /** Of a schema nobody used before, or of the one that is named. */
  url(schema?: string): string {
    this.#schemas += 1;
    const path = schema ?? `test_${this.#schemas}`;
    return `postgres://${this.user}:${this.password}@127.0.0.1:${this.port}/lucid?schema=${path}`;
  }

  async #run(program: string, ...args: string[]): Promise<string> {
    const env = { PATH: peerPath(), LC_ALL: 'C', PGPASSWORD: this.password };
    return (await promisify(execFile)(program, args, { ...this.#owner, cwd: this.home, env })).stdout;
  }

  async stop(): Promise<void> {
    await this.end('SIGQUIT');
    rmSync(this.home, { recursive: true, force: true });
  }
}
