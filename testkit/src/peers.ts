import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PNG } from 'pngjs';
import { freePort } from './ports.ts';

/**
 * Real RDP servers and clients of this machine (FreeRDP, xrdp, rdesktop, Weston), started and stopped from tests; Debian's
 * chromium is only looked for.
 */

/** Found when it is used: the published demo has our own desktop and no peers. */
const scriptPath = (name: string): string => fileURLToPath(new URL(`../peers/${name}`, import.meta.url));
/** Debian keeps servers out of a user's PATH; others lie where the scripts `.ci/install-…` put them. */
const extraPath = [
  '/usr/share/doc/python3-impacket/examples',
  ...['/usr/sbin', '/sbin', join(process.env.FREERDP3_DIR ?? '/opt/lucid-freerdp3', 'bin')],
  join(process.env.OPENBAO_DIR ?? '/opt/lucid-openbao', 'bin'),
  join(process.env.MONGO_STAND_IN_DIR ?? '/opt/lucid-mongo-stand-in', 'bin'),
  ...[18, 17, 16, 15, 14, 13].map((version) => `/usr/lib/postgresql/${version}/bin`),
  join(process.env.SEAWEEDFS_DIR ?? '/opt/lucid-seaweedfs', 'bin'),
  join(process.env.SCHEMATHESIS_DIR ?? '/opt/lucid-schemathesis', 'bin'),
];
const SCRIPT_TIMEOUT_MS = 60_000;
const FIRST_DISPLAY = 60;
const LAST_DISPLAY = 160;
/** xrdp's session manager listens here, whatever its configuration says. */
const SESMAN_PORT = 3350;
const XRDP_WAIT_MS = 100_000;

const programs = {
  shadow: ['freerdp-shadow-cli', 'winpr-hash', 'Xvfb', 'xterm', 'xeyes', 'xclock', 'xdpyinfo', 'display'],
  shadow3: ['freerdp-shadow-cli3', 'winpr-hash', 'Xvfb', 'xterm', 'xeyes', 'xclock', 'xdpyinfo', 'display'],
  shadow3Rdstls: ['freerdp-shadow-cli3', 'gcc', 'Xvfb', 'xterm', 'xeyes', 'xclock', 'xdpyinfo', 'display'],
  xrdp: ['xrdp', 'xrdp-sesman', 'Xvfb', 'xterm', 'xeyes', 'xclock', 'display', 'useradd', 'ss'],
  weston: ['weston', 'openssl'],
  gnome: ['mutter', 'grdctl', 'gnome-keyring-daemon', 'pipewire', 'wireplumber', 'dbus-run-session', 'foot', 'gcc'],
  xfreerdp: ['xfreerdp', 'Xvfb', 'xdotool', 'import', 'xdpyinfo'],
  xfreerdp3: ['xfreerdp3', 'Xvfb', 'xdotool', 'import', 'xdpyinfo'],
  rdesktop: ['rdesktop', 'Xvfb', 'xdotool', 'import', 'xdpyinfo'],
  chromium: ['chromium'],
  ffmpeg: ['ffmpeg'],
  openbao: ['bao'],
  mongo: ['mongo-stand-in'],
  seaweedfs: ['weed'],
  kdc: ['krb5kdc', 'kdb5_util', 'kadmin.local'],
  impacket: ['rdp_check.py'],
  postgres: [
    'initdb',
    'postgres',
    'pg_isready',
    'pg_ctl',
    'pg_basebackup',
    'pg_dump',
    'pg_restore',
    'createdb',
    'psql',
  ],
  redis: ['redis-server', 'redis-cli'],
  prometheus: ['prometheus', 'promtool'],
  rsyslog: ['rsyslogd'],
  binutils: ['strip', 'ldd', 'dpkg-query'],
  schemathesis: ['schemathesis'],
  shells: ['bash', 'zsh', 'fish'],
  manual: ['mandoc', 'groff'],
} as const;

export type PeerName = keyof typeof programs;
export const peerNames = Object.keys(programs) as PeerName[];

/** Programs that are missing for these peers (all of them unless named), without doubles. */
export function peersMissing(...names: PeerName[]): string[] {
  const wanted = (names.length > 0 ? names : peerNames).flatMap((name) => programs[name]);
  return [...new Set(wanted)].filter((program) => !isInstalled(program));
}

function isInstalled(program: string): boolean {
  const directories = [...(process.env.PATH ?? '').split(delimiter), ...extraPath];
  return directories.some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Skips the test when peers are missing, and says how to install them; with REQUIRE_PEERS=1 it throws instead. True when
 * the test should return.
 */
export function skipUnlessPeers(t: TestContext, ...names: PeerName[]): boolean {
  const missing = peersMissing(...names);
  if (missing.length === 0) return false;
  const message = `needs ${missing.join(', ')}: run .ci/install-peers`;
  if (process.env.REQUIRE_PEERS === '1') throw new Error(`REQUIRE_PEERS=1, but this test ${message}`);
  t.skip(message);
  return true;
}

/** Where peers are looked for. */
export const peerPath = (): string => [process.env.PATH ?? '', ...extraPath].join(delimiter);

/** What every started peer can do. */
interface Peer {
  /** What a log of the peer says so far ('' when there is none). */
  log(name: string): string;
  stop(): Promise<void>;
}

export interface PeerServer extends Peer {
  readonly port: number;
  /** The X display it shows, where it shows one. */
  readonly display?: string;
  /** Lines typed into the server's terminal window. */
  typedLines(): string[];
}

export interface PeerClient extends Peer {
  /** Of the client's process. */
  readonly pid: number;
  /** Its X display. */
  readonly display: string;
  /** Types into the client's window, then Enter. */
  type(text: string): Promise<void>;
  click(x: number, y: number): Promise<void>;
  /** Presses keys together, named as xdotool names them: `ctrl+shift+F9`. */
  key(names: string): Promise<void>;
  /** A PNG of what the client's X display shows. */
  screenshot(path: string): Promise<void>;
  /** Whether a pixel of its X display has this colour, 0xRRGGBB. */
  shows(colour: number): Promise<boolean>;
  /** Closes the client but keeps its display. */
  closeClient(): Promise<void>;
}

/** A directory of its own and the environment of one peer's scripts. */
class Room {
  readonly directory: string;
  readonly env: Record<string, string>;

  constructor(env: Record<string, string>) {
    this.directory = mkdtempSync(join(process.env.PEERS_DIR ?? tmpdir(), 'lucid-peer-'));
    const path = peerPath();
    this.env = { ...(process.env as Record<string, string>), PATH: path, ...env, PEERS_DIR: this.directory };
  }

  run(script: string, ...args: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const options = { env: this.env, timeout: SCRIPT_TIMEOUT_MS };
      execFile('bash', [scriptPath(script), ...args], options, (error, stdout, stderr) => {
        if (error) reject(new Error(`${script} ${args.join(' ')}: ${error.message} ${stderr}`));
        else resolve(stdout);
      });
    });
  }

  read(path: string): string {
    const file = join(this.directory, path);
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  log(name: string): string {
    return this.read(join('logs', `${name}.log`));
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const taken = new Set<number>();

/** An X display nobody uses: by lock file, and not given out by this process before. */
function freeDisplay(): string {
  const count = LAST_DISPLAY - FIRST_DISPLAY + 1;
  for (let i = 0; i < count; i += 1) {
    const number = FIRST_DISPLAY + ((process.pid + i) % count);
    if (taken.has(number) || isDisplayUsed(number)) continue;
    taken.add(number);
    return `:${number}`;
  }
  throw new Error(`no free X display of :${FIRST_DISPLAY} to :${LAST_DISPLAY}`);
}

/** A server that was killed leaves its files behind: they are taken away. */
function isDisplayUsed(number: number): boolean {
  const lock = `/tmp/.X${number}-lock`;
  const socket = `/tmp/.X11-unix/X${number}`;
  if (!existsSync(lock)) return existsSync(socket);
  try {
    process.kill(Number(readFileSync(lock, 'utf8')), 0);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') return true;
    for (const path of [lock, socket]) rmSync(path, { force: true });
    return false;
  }
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

function server(room: Room, port: number, script: string, typed: () => string): PeerServer {
  return {
    port,
    typedLines: () => lines(typed()),
    log: (name) => room.log(name),
    async stop() {
      await room.run(script, 'stop');
      room.remove();
    },
  };
}

/** Starts a server, and stops what of it had started when it doesn't come up. */
async function started(room: Room, script: string, ...args: string[]): Promise<void> {
  try {
    await room.run(script, 'start', ...args);
  } catch (error) {
    await room.run(script, 'stop').catch(() => {});
    room.remove();
    throw error;
  }
}

export interface PeerUser {
  userName: string;
  password: string;
}

/** Whom shadow servers with NLA know, unless told otherwise. */
export const shadowUser: PeerUser = { userName: 'test', password: 'test' };

/** FreeRDP's shadow server on an X display with a terminal: TLS, or NLA only. */
export function startShadow(mode: 'noauth' | 'nla' = 'noauth', ...flags: string[]): Promise<PeerServer> {
  return shadowServer(mode, {}, flags);
}

/** Shadow of FreeRDP 2: NLA only, raw NTLM and CredSSP without error codes. */
export const startShadowNla = (user: PeerUser = shadowUser, ...flags: string[]): Promise<PeerServer> =>
  shadowServer('nla', samOf(user), flags);

/** Shadow of FreeRDP 3 that takes Kerberos by its service's keys; in SPNEGO it has no NTLM besides. */
export const startShadow3Kerberos = ({ config, keytab }: { config: string; keytab: string }): Promise<PeerServer> =>
  shadowServer('nla', { ...samOf(shadowUser), KRB5_CONFIG: config, SHADOW: 'freerdp-shadow-cli3' }, [
    `/keytab:${keytab}`,
  ]);

/** Shadow of FreeRDP 3: NLA only, SPNEGO, HYBRID_EX. */
export const startShadow3 = (user: PeerUser = shadowUser, ...flags: string[]): Promise<PeerServer> =>
  shadowServer('nla', { ...samOf(user), SHADOW: 'freerdp-shadow-cli3' }, flags);

/** Shadow of FreeRDP 3 that takes clients by RDSTLS, as one user alone; the password is a text here. */
export const startShadow3Rdstls = ({
  userName,
  password,
  domain,
}: PeerUser & { domain: string }): Promise<PeerServer> =>
  shadowServer(
    'rdstls',
    { SHADOW: 'freerdp-shadow-cli3', RDSTLS_USER: userName, RDSTLS_DOMAIN: domain, RDSTLS_PASSWORD: password },
    [],
  );

const samOf = ({ userName, password }: PeerUser) => ({ SAM_USER: userName, SAM_PASSWORD: password });

async function shadowServer(mode: string, env: Record<string, string>, flags: string[]): Promise<PeerServer> {
  const port = await freePort();
  const display = freeDisplay();
  const room = new Room({ PORT: String(port), DSP: display, ...env });
  await started(room, 'desktop-shadow.sh', mode, ...flags);
  return { ...server(room, port, 'desktop-shadow.sh', () => room.read('run/typed-shadow.log')), display };
}

export const xrdpUser = { userName: 'rdpuser', password: 'Rdp-pass1' } as const;

/** xrdp with sessions of the system user `xrdpUser` (made when missing: needs root). One per machine at a time: waits for its turn. */
export async function startXrdp(): Promise<PeerServer> {
  const turn = await turnAtXrdp();
  try {
    return await xrdpServer(turn);
  } catch (error) {
    turn.close();
    throw error;
  }
}

/** Files of tests run beside each other: the next one waits until xrdp is nobody's. The system lets go of it where a process dies. */
async function turnAtXrdp(): Promise<Server> {
  const take = () =>
    new Promise<Server | null>((resolve) => {
      const asked = createServer();
      asked.once('error', () => resolve(null));
      asked.listen('\0lucid-sessions-xrdp', () => resolve(asked));
    });
  const turn = await eventually('a turn at xrdp', take, XRDP_WAIT_MS);
  turn.unref();
  // One that was started by hand, or is ending.
  await eventually(`port ${SESMAN_PORT} without another xrdp-sesman`, async () => !(await isListening(SESMAN_PORT)));
  return turn;
}

async function xrdpServer(turn: Server): Promise<PeerServer> {
  const port = await freePort();
  const room = new Room({ PORT: String(port), RDPUSER: xrdpUser.userName, RDPPASS: xrdpUser.password });
  await started(room, 'desktop-xrdp.sh');
  const home = `/home/${xrdpUser.userName}/typed.log`;
  const before = existsSync(home) ? readFileSync(home, 'utf8').length : 0;
  const peer = server(room, port, 'desktop-xrdp.sh', () =>
    existsSync(home) ? readFileSync(home, 'utf8').slice(before) : '',
  );
  return {
    ...peer,
    async stop() {
      await room.run('desktop-xrdp.sh', 'endsessions').catch(() => {});
      await peer.stop();
      turn.close();
    },
  };
}

/** Asks by trying to listen: a connection would be a client to whoever is there. */
function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(true));
    probe.listen(port, '::1', () => probe.close(() => resolve(false)));
  });
}

/** Weston's RDP backend: TLS, no authentication. */
export async function startWeston(): Promise<PeerServer> {
  const port = await freePort();
  const room = new Room({ PORT: String(port) });
  await started(room, 'desktop-weston.sh');
  return server(room, port, 'desktop-weston.sh', () => '');
}

/** Whom GNOME Remote Desktop knows. */
export const gnomeUser: PeerUser = { userName: 'rdpuser', password: 'Rdp-pass1' };

/** GNOME Remote Desktop: NLA only, and no client without the graphics pipeline. Needs root. */
export async function startGnome(): Promise<PeerServer> {
  const port = await freePort();
  const room = new Room({ PORT: String(port) });
  await started(room, 'desktop-gnome.sh');
  return server(room, port, 'desktop-gnome.sh', () => room.read('home/typed.log'));
}

function client(room: Room, script: string, name: string): PeerClient {
  const control = (...args: string[]) => room.run('client-xfreerdp.sh', ...args).then(() => {});
  return {
    pid: Number(room.read(`run/${name}.pid`).split(' ')[0]),
    display: room.env.CDSP ?? '',
    type: (text) => control('type', text),
    click: (x, y) => control('click', String(x), String(y)),
    key: (names) => control('key', names),
    screenshot: (path) => control('shot', path),
    async shows(colour) {
      const path = join(room.directory, 'look.png');
      await control('shot', path);
      const { data } = PNG.sync.read(readFileSync(path));
      for (let at = 0; at < data.length; at += 4) if (data.readUIntBE(at, 3) === colour) return true;
      return false;
    },
    log: (name) => room.log(name),
    closeClient: () => room.run(script, 'stop').then(() => {}),
    async stop() {
      await room.run(script, 'stop');
      await control('stopx');
      room.remove();
    },
  };
}

/** xfreerdp of FreeRDP 2 in an X display of its own. Its log is named `client`. */
export const startXfreerdp = (hostAndPort: string, ...flags: string[]): Promise<PeerClient> =>
  xfreerdp('xfreerdp', hostAndPort, flags);

/** The same of FreeRDP 3. */
export const startXfreerdp3 = (hostAndPort: string, ...flags: string[]): Promise<PeerClient> =>
  xfreerdp('xfreerdp3', hostAndPort, flags);

async function xfreerdp(program: string, hostAndPort: string, flags: string[]): Promise<PeerClient> {
  const room = new Room({ CDSP: freeDisplay(), XFREERDP: program });
  await room.run('client-xfreerdp.sh', 'start', hostAndPort, ...flags);
  return client(room, 'client-xfreerdp.sh', 'client');
}

/** rdesktop in an X display of its own. Its log is named `rdesktop`. */
export async function startRdesktop(hostAndPort: string, ...flags: string[]): Promise<PeerClient> {
  const room = new Room({ CDSP: freeDisplay() });
  await room.run('client-rdesktop.sh', 'start', hostAndPort, ...flags);
  return client(room, 'client-rdesktop.sh', 'rdesktop');
}

/** Asks again until `check` gives something, or throws with `what` after `timeoutMs`: an end to waiting, not a measure, since machines may be busy. */
export async function eventually<T>(
  what: string,
  check: () => T | null | undefined | false | Promise<T | null | undefined | false>,
  timeoutMs = 60_000,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const result = await check();
    if (result !== null && result !== undefined && result !== false) return result;
    if (Date.now() > end) throw new Error(`${what} did not happen within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
