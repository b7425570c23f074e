/**
 * Both ends of every session of the capacity bench, a process of its own: clients and targets that say what a capture says, when it says it.
 * Because it has both it knows how long each byte was under way.
 */
import { once } from 'node:events';
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import { setPriority } from 'node:os';
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls';
import { makeCertificate } from '@lucid-sessions/desktop';
import { Acceptor, Connector, Protocol } from '@lucid-sessions/rdp';
import { type Frame, frameFlags } from '@lucid-sessions/recording';
import { framesOf } from './capacity-work.ts';

export type EndsTask =
  | { kind: 'start'; port: number; routingToken: string; work: string; seconds: number }
  /** Answers what was measured since it was asked last. */
  | { kind: 'look' }
  | { kind: 'stop' };

export interface EndsAnswer {
  error?: string;
  sessions: number;
  /** Sessions that the gateway or the network ended. */
  broken: number;
  bytes: number;
  /** From the write of a frame to the arrival of its last byte, ms. */
  waitMs: number[];
  /** How late frames were written: this very process is the bottleneck where that grows. */
  lagMs: number[];
}

/** Handshakes of a capture are waited for, the rest goes by the clock. */
const handshakeFrames = 60;
const handshakeMsMax = 300;
/** Bytes the relay kept or changed: what is under way so long never comes. */
const lostMs = 5000;
const samplesMax = 200_000;

/** In place of people's own machines: it goes before the product and databases, where the system lets it. */
const niceness = -10;
try {
  setPriority(niceness);
} catch {
  // Not permitted: how late frames were written is printed.
}

let measured = { bytes: 0, broken: 0, waitMs: [] as number[], lagMs: [] as number[] };
const sessions = new Set<Session>();

/** One direction of a session. */
class Way {
  readonly #from: Socket;
  #sentBytes = 0;
  #arrivedBytes = 0;
  #underWay: { atBytes: number; sentMs: number }[] = [];
  #next = 0;
  #arrived: () => void = () => {};

  constructor(from: Socket, to: Socket) {
    this.#from = from;
    to.on('data', (bytes: Buffer) => this.#took(bytes.length));
  }

  send(bytes: Uint8Array): void {
    const now = performance.now();
    const oldest = this.#underWay[this.#next];
    if (oldest !== undefined && now - oldest.sentMs > lostMs) this.forget();
    this.#sentBytes += bytes.length;
    this.#underWay.push({ atBytes: this.#sentBytes, sentMs: now });
    this.#from.write(bytes);
  }

  /** Counts from here: what was said until now may have been changed on the way. */
  forget(): void {
    this.#underWay = [];
    this.#next = 0;
    this.#sentBytes = this.#arrivedBytes;
  }

  /** Resolves with the next byte that arrives. */
  arrival(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, handshakeMsMax);
      this.#arrived = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #took(bytes: number): void {
    this.#arrivedBytes += bytes;
    measured.bytes += bytes;
    this.#arrived();
    const now = performance.now();
    for (let at = this.#underWay[this.#next]; at !== undefined; at = this.#underWay[this.#next]) {
      if (at.atBytes > this.#arrivedBytes) break;
      if (measured.waitMs.length < samplesMax) measured.waitMs.push(now - at.sentMs);
      this.#next += 1;
    }
    if (this.#next > 1000) {
      this.#underWay.splice(0, this.#next);
      this.#next = 0;
    }
  }
}

class Session {
  readonly #frames: readonly Frame[];
  readonly #client: Socket;
  readonly #ways: readonly [Way, Way];
  #at = 0;
  #startedMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #ended = false;

  constructor(client: Socket, target: Socket, frames: readonly Frame[]) {
    this.#frames = frames;
    this.#client = client;
    this.#ways = [new Way(client, target), new Way(target, client)];
    for (const end of [client, target]) end.on('close', () => this.#end());
  }

  /** Says what a connection begins with, each side when it has heard the other. */
  async shakeHands(): Promise<void> {
    let before: Way | null = null;
    let heard = Promise.resolve();
    for (; this.#at < Math.min(handshakeFrames, this.#frames.length); this.#at += 1) {
      const frame = this.#frames[this.#at]!;
      const way = this.#way(frame);
      if (before !== null && before !== way) await heard;
      if (before !== way) heard = way.arrival();
      before = way;
      way.send(frame.body);
    }
    await heard;
    for (const way of this.#ways) way.forget();
    this.#startedMs = performance.now() - (this.#frames[this.#at - 1]?.timeUs ?? 0) / 1000;
    this.#wait();
  }

  #way({ flags }: Frame): Way {
    return this.#ways[(flags & frameFlags.serverToClient) === 0 ? 0 : 1];
  }

  #dueMs(frame: Frame): number {
    return this.#startedMs + frame.timeUs / 1000;
  }

  #wait(): void {
    const next = this.#frames[this.#at];
    if (next === undefined || this.#ended) return;
    this.#timer = setTimeout(() => this.#play(), Math.max(0, this.#dueMs(next) - performance.now()));
  }

  #play(): void {
    const now = performance.now();
    for (
      let next = this.#frames[this.#at];
      next !== undefined && this.#dueMs(next) <= now;
      next = this.#frames[this.#at]
    ) {
      if (measured.lagMs.length < samplesMax) measured.lagMs.push(now - this.#dueMs(next));
      this.#way(next).send(next.body);
      this.#at += 1;
    }
    this.#wait();
  }

  #end(): void {
    if (this.#ended) return;
    this.stop();
    measured.broken += 1;
  }

  /** As a client that is closed: its connection ends. */
  stop(): void {
    this.#ended = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    sessions.delete(this);
    this.#client.end();
  }
}

const certificate = await makeCertificate('capacity');
const secureContext = createSecureContext({ key: certificate.key, cert: certificate.cert, minVersion: 'TLSv1.2' });

type Step = (bytes: Buffer) => { output: Uint8Array; events: readonly { kind: string }[] };

/** X.224 up to where TLS begins. */
function untilTls(raw: Socket, step: Step): Promise<void> {
  return new Promise((resolve, reject) => {
    const closed = (): void => reject(new Error('closed before TLS'));
    const take = (bytes: Buffer): void => {
      const { output, events } = step(bytes);
      if (output.length > 0) raw.write(output);
      if (!events.some(({ kind }) => kind === 'startTls')) return;
      raw.off('data', take).off('close', closed);
      resolve();
    };
    raw.on('data', take).on('error', reject).once('close', closed);
  });
}

let onTarget: (target: Socket) => void = () => {};
const server = createServer({ noDelay: true }, (raw) => {
  raw.on('error', () => {});
  const acceptor = new Acceptor({ protocols: Protocol.ssl });
  untilTls(raw, (bytes) => acceptor.step(bytes)).then(
    () => onTarget(new TLSSocket(raw, { isServer: true, secureContext }).on('error', () => {})),
    () => raw.destroy(),
  );
});
await once(server.listen(0, '127.0.0.1', 511), 'listening');

/** One after the other: which target belongs to a client is known by its turn. */
async function start({ port, routingToken, work, seconds }: Extract<EndsTask, { kind: 'start' }>): Promise<void> {
  const frames = framesOf(work, seconds);
  const target = new Promise<Socket>((resolve) => {
    onTarget = resolve;
  });
  const connector = new Connector({
    routing: { kind: 'msts', token: routingToken },
    desktopWidth: 1024,
    desktopHeight: 768,
  });
  const raw = connectTcp({ host: '127.0.0.1', port, noDelay: true });
  raw.on('error', () => {});
  await once(raw, 'connect');
  raw.write(connector.start().output);
  await untilTls(raw, (bytes) => connector.step(bytes));
  const client = connectTls({ socket: raw, rejectUnauthorized: false }).on('error', () => {});
  await once(client, 'secureConnect');
  const session = new Session(client, await target, frames);
  sessions.add(session);
  await session.shakeHands();
}

async function obey(task: EndsTask): Promise<EndsAnswer> {
  if (task.kind === 'start') await start(task);
  if (task.kind === 'stop') for (const session of sessions) session.stop();
  const answer = { sessions: sessions.size, ...measured };
  if (task.kind === 'look') measured = { bytes: 0, broken: measured.broken, waitMs: [], lagMs: [] };
  return task.kind === 'look' ? answer : { ...answer, waitMs: [], lagMs: [] };
}

process.on('message', (task: EndsTask) => {
  obey(task).then(
    (answer) => process.send?.(answer),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
process.on('disconnect', () => process.exit());
process.send?.({ port: (server.address() as AddressInfo).port });
