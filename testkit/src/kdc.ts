/** A real KDC of MIT Kerberos on 127.0.0.1 (Debian's krb5-kdc, krb5-admin-server), with a realm that is made when it starts. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, peerPath } from './peers.ts';
import { freePort } from './ports.ts';
import { endChild, endsWithUs } from './server-child.ts';

export interface KdcOptions {
  realm?: string;
  /** Of MIT's names: `aes256-cts-hmac-sha384-192`. Its own unless given. */
  encryption?: string;
}

export class Kdc {
  readonly realm: string;
  readonly port: number;
  /** krb5.conf for whoever asks it. */
  readonly config: string;
  readonly #home: string;
  readonly #environment: NodeJS.ProcessEnv;
  #process: ChildProcess | null = null;

  private constructor(port: number, { realm = 'LUCID.TEST', encryption }: KdcOptions) {
    this.port = port;
    this.realm = realm;
    this.#home = mkdtempSync(join(tmpdir(), 'lucid-kdc-'));
    this.config = join(this.#home, 'krb5.conf');
    const profile = join(this.#home, 'kdc.conf');
    this.#environment = { PATH: peerPath(), KRB5_CONFIG: this.config, KRB5_KDC_PROFILE: profile };
    writeFileSync(
      this.config,
      `[libdefaults]
  default_realm = ${realm}
  dns_lookup_kdc = false
  rdns = false
  ${encryption === undefined ? '' : `permitted_enctypes = ${encryption}`}
[realms]
  ${realm} = {
    kdc = 127.0.0.1:${port}
  }
[domain_realm]
  localhost = ${realm}
`,
    );
    writeFileSync(
      profile,
      `[realms]
  ${realm} = {
    kdc_listen = 127.0.0.1:${port}
    kdc_tcp_listen = 127.0.0.1:${port}
    database_name = ${join(this.#home, 'principal')}
    key_stash_file = ${join(this.#home, 'stash')}
    acl_file = ${join(this.#home, 'acl')}
    ${encryption === undefined ? '' : `supported_enctypes = ${encryption}:normal`}
  }
`,
    );
  }

  static async start(options: KdcOptions = {}): Promise<Kdc> {
    const kdc = new Kdc(await freePort(), options);
    kdc.#run('kdb5_util', 'create', '-s', '-P', 'master of the test', '-r', kdc.realm);
    const flags = ['-n', '-r', kdc.realm, '-P', join(kdc.#home, 'pid')];
    kdc.#process = endsWithUs(spawn('krb5kdc', flags, { env: kdc.#environment, stdio: 'ignore' }));
    await eventually('an open port of the KDC', () => isOpen(kdc.port));
    return kdc;
  }

  /** `flags`: of kadmin's addprinc, such as `+requires_preauth`. */
  addUser(name: string, password: string, ...flags: string[]): void {
    this.admin(`addprinc ${flags.join(' ')} -pw "${password.replaceAll('"', '""')}" ${name}`);
  }

  /** A service and a file with its keys. */
  addService(name: string): string {
    const keytab = join(this.#home, `${name.replace('/', '-')}.keytab`);
    this.admin(`addprinc -randkey ${name}`);
    this.admin(`ktadd -k ${keytab} ${name}`);
    return keytab;
  }

  /** Users of this realm reach services of the other one by a key that both make of this word. */
  trust(other: Kdc, word: string): void {
    for (const kdc of [this, other]) kdc.addUser(`krbtgt/${other.realm}@${this.realm}`, word);
  }

  /** One command of kadmin. */
  admin(command: string): void {
    this.#run('kadmin.local', '-r', this.realm, '-q', command);
  }

  async stop(): Promise<void> {
    await endChild(this.#process);
    rmSync(this.#home, { recursive: true, force: true });
  }

  #run(program: string, ...args: string[]): void {
    execFileSync(program, args, { env: this.#environment, stdio: 'pipe' });
  }
}

const isOpen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
