/** A real rsyslog (Debian's) that takes RFC 5424 over UDP, TCP and TLS, and writes what it understood as JSON lines. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificate } from '@lucid-sessions/desktop';
import { eventually, peerPath } from './peers.ts';
import { freePorts } from './ports.ts';
import { endChild, endsWithUs } from './server-child.ts';

export interface SyslogLine {
  pri: string;
  time: string;
  app: string;
  msgid: string;
  sd: string;
  msg: string;
}

export class Rsyslog {
  readonly home = mkdtempSync(join(tmpdir(), 'lucid-rsyslog-'));
  readonly ports: { udp: number; tcp: number; tls: number };
  readonly caPath: string;
  #process: ChildProcess | null = null;

  private constructor([udp = 0, tcp = 0, tls = 0]: readonly number[]) {
    this.ports = { udp, tcp, tls };
    this.caPath = join(this.home, 'ca.pem');
  }

  static async start(): Promise<Rsyslog> {
    const server = new Rsyslog(await freePorts(3));
    const { cert, key } = await makeCertificate();
    writeFileSync(server.caPath, cert, { mode: 0o600 });
    writeFileSync(join(server.home, 'key.pem'), key, { mode: 0o600 });
    writeFileSync(join(server.home, 'rsyslog.conf'), server.#config(), { mode: 0o600 });
    await server.begin();
    return server;
  }

  #config(): string {
    const { home, ports } = this;
    const property = (outname: string, name: string, more = '') =>
      `property(outname="${outname}" name="${name}" ${more} format="jsonf")`;
    return `global(workDirectory="${home}" maxMessageSize="64k" defaultNetstreamDriverCAFile="${home}/ca.pem"
  defaultNetstreamDriverCertFile="${home}/ca.pem" defaultNetstreamDriverKeyFile="${home}/key.pem")
module(load="imtcp")
module(load="imudp")
template(name="line" type="list" option.jsonf="on") {
  ${property('pri', 'pri')} ${property('time', 'timereported', 'dateFormat="rfc3339"')} ${property('app', 'app-name')}
  ${property('msgid', 'msgid')} ${property('sd', 'structured-data')} ${property('msg', 'msg')}
}
ruleset(name="keep") { action(type="omfile" file="${home}/lines.jsonl" template="line") }
input(type="imudp" port="${ports.udp}" address="127.0.0.1" ruleset="keep")
input(type="imtcp" port="${ports.tcp}" address="127.0.0.1" ruleset="keep")
input(type="imtcp" port="${ports.tls}" address="127.0.0.1" ruleset="keep"
  streamdriver.name="gtls" streamdriver.mode="1" streamdriver.authmode="anon")
`;
  }

  /** Starts it (again). */
  async begin(): Promise<void> {
    const args = ['-n', '-f', join(this.home, 'rsyslog.conf'), '-i', join(this.home, 'pid')];
    this.#process = endsWithUs(spawn('rsyslogd', args, { env: { PATH: peerPath() }, stdio: 'ignore' }));
    for (const port of [this.ports.tcp, this.ports.tls]) await eventually('rsyslog listens', () => listens(port));
  }

  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await endChild(this.#process, signal);
    this.#process = null;
  }

  get lines(): SyslogLine[] {
    const path = join(this.home, 'lines.jsonl');
    if (!existsSync(path)) return [];
    const whole = readFileSync(path, 'utf8').split('\n').slice(0, -1);
    return whole.map((line) => JSON.parse(line) as SyslogLine);
  }

  async stop(): Promise<void> {
    await this.end();
    rmSync(this.home, { recursive: true, force: true });
  }
}

const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => socket.destroy());
    socket.once('error', () => resolve(false));
    socket.once('close', (hadError) => resolve(!hadError));
  });
