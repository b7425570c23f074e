/**
 * Peers that are gone while bytes for them are on the way. Keep-alive asks only silent peers; a peer that does not acknowledge
 * is sent the same bytes again for a quarter of an hour (tcp_retries2) before the kernel gives up, and Node offers no
 * TCP_USER_TIMEOUT. Linux tells in /proc/net/tcp how often it sent them again in vain: that is looked at here. Elsewhere the
 * kernel's own patience is what there is.
 */
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { endianness } from 'node:os';
import { parseIpAddress } from '@lucid-sessions/contract';

export interface PeerWatchOptions {
  /** The kernel's tables of TCP connections, as text. */
  readTables?: () => Promise<string>;
  nowMs?: () => number;
  /** So long nothing may be acknowledged. */
  deadMs?: number;
}

interface Watched {
  key: string;
  /** Since when it acknowledges nothing; null while it does. */
  sinceMs: number | null;
  retransmits: number;
  bytesRead: number;
}

const deadMsDefault = 60_000;
const timerZeroWindowProbe = 4;

async function readProc(): Promise<string> {
  const tables = ['/proc/net/tcp', '/proc/net/tcp6'].map((path) => readFile(path, 'latin1').catch(() => ''));
  return (await Promise.all(tables)).join('\n');
}

const isLittle = endianness() === 'LE';

/** An end of a connection as the kernel's table writes it: 32-bit words in the machine's own order, port in hexadecimal. */
export function kernelName(address: string, port: number): string {
  const bytes = Buffer.from(parseIpAddress(address) ?? []);
  if (isLittle) bytes.swap32();
  return `${bytes.toString('hex')}:${port.toString(16).padStart(4, '0')}`.toUpperCase();
}

/** How often the kernel has sent something again without an answer, by connection; only those where it has. */
export function unanswered(tables: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of tables.split('\n')) {
    const [, local, remote, , , timer, retransmits, , probes] = line.trim().split(/\s+/);
    if (local === undefined || remote === undefined || probes === undefined || timer === undefined) continue;
    const probing = Number.parseInt(timer, 16) === timerZeroWindowProbe ? Number.parseInt(probes, 10) : 0;
    const count = Math.max(Number.parseInt(retransmits ?? '0', 16), probing);
    if (count > 0) found.set(`${local} ${remote}`, count);
  }
  return found;
}

export class PeerWatch {
  readonly #readTables: () => Promise<string>;
  readonly #nowMs: () => number;
  readonly #deadMs: number;
  readonly #watched = new Map<Socket, Watched>();

  constructor({
    readTables = readProc,
    nowMs = () => performance.now(),
    deadMs = deadMsDefault,
  }: PeerWatchOptions = {}) {
    this.#readTables = readTables;
    this.#nowMs = nowMs;
    this.#deadMs = deadMs;
  }

  /** Until the socket closes. A peer that is gone has it destroyed. */
  add(socket: Socket): void {
    const { localAddress, localPort, remoteAddress, remotePort } = socket;
    if (
      localAddress === undefined ||
      localPort === undefined ||
      remoteAddress === undefined ||
      remotePort === undefined
    )
      return;
    const key = `${kernelName(localAddress, localPort)} ${kernelName(remoteAddress, remotePort)}`;
    this.#watched.set(socket, { key, sinceMs: null, retransmits: 0, bytesRead: socket.bytesRead });
    socket.once('close', () => this.#watched.delete(socket));
  }

  /** Looks once; several times a minute. */
  async look(): Promise<void> {
    if (this.#watched.size === 0) return;
    const counts = unanswered(await this.#readTables());
    const nowMs = this.#nowMs();
    for (const [socket, watched] of this.#watched) {
      const retransmits = counts.get(watched.key) ?? 0;
      const isAlive = retransmits < watched.retransmits || retransmits === 0 || socket.bytesRead !== watched.bytesRead;
      watched.retransmits = retransmits;
      watched.bytesRead = socket.bytesRead;
      if (isAlive) watched.sinceMs = null;
      if (retransmits > 0) watched.sinceMs ??= nowMs;
      if (watched.sinceMs !== null && nowMs - watched.sinceMs >= this.#deadMs) socket.destroy();
    }
  }
}
