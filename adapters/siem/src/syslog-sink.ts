/**
 * Audit events as syslog messages (RFC 5424): over UDP one a datagram (RFC 5426), over TCP (RFC 6587) and TLS (RFC 5425) with octet
 * counting. Syslog acknowledges nothing: what was written shortly before a connection broke is written again over the next one.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect as connectTcp, isIPv6, type Socket } from 'node:net';
import { hostname } from 'node:os';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { type AuditEvent, isoOf } from '@lucid-sessions/contract';
import type { EventSink } from '@lucid-sessions/pipeline';
import { type EventForm, eventText, type Producer, type Severity, severityOf } from './event-forms.ts';

export interface SyslogAddress {
  transport: 'udp' | 'tcp' | 'tls';
  host: string;
  port: number;
}

export interface SyslogSinkOptions {
  address: SyslogAddress;
  form: EventForm;
  producer: Producer;
  /** PEM: who signed the receiver's certificate (the system's own CAs unless given), and who we are. */
  tls?: Pick<ConnectionOptions, 'ca' | 'cert' | 'key'>;
  timeoutMs?: number;
}

/** Log audit. */
const facility = 13;
const severities: Record<Severity, number> = {
  ...{ alarm: 1, failure: 4, success: 6 },
  ...{ low: 5, medium: 4, high: 3, critical: 2 },
};
const messageBytesMax = 32 * 1024;
const datagramBytesMax = 8 * 1024;
/** What is written again after a connection broke: of this time, and at most so many. */
const doubtMs = 30_000;
const doubtMax = 1000;

/** Printable ASCII without blanks, as RFC 5424 has it in its header. */
const headerWord = (text: string, max: number): string => text.replaceAll(/[^\x21-\x7e]/g, '').slice(0, max) || '-';
const sdValue = (text: string): string => text.replaceAll(/["\\\]]/g, '\\$&');

/** One message, cut to `bytesMax` at the end of its text. */
export function syslogMessage(
  event: AuditEvent,
  form: EventForm,
  producer: Producer,
  bytesMax = messageBytesMax,
): Buffer {
  const priority = facility * 8 + severities[severityOf(event)];
  const words = [
    isoOf(event.timestampUs),
    headerWord(hostname(), 255),
    headerWord(producer.name, 48),
    String(process.pid),
  ];
  const origin = `[origin software="${sdValue(producer.name)}" swVersion="${sdValue(producer.version)}"]`;
  const head = `<${priority}>1 ${words.join(' ')} ${headerWord(event.eventType, 32)} ${origin} `;
  // The mark says that the text is UTF-8.
  const message = Buffer.from(`${head}\u{feff}${eventText(form, event, producer)}`);
  if (message.length <= bytesMax) return message;
  return Buffer.from(new TextDecoder().decode(message.subarray(0, bytesMax - 3), { stream: true }));
}

export class SyslogSink implements EventSink {
  readonly name: string;
  readonly #options: SyslogSinkOptions;
  #socket: Socket | null = null;
  #written: { atMs: number; frame: Buffer }[] = [];
  #inDoubt: Buffer[] = [];

  constructor(options: SyslogSinkOptions) {
    const { transport, host, port } = options.address;
    this.name = `syslog ${transport}://${isIPv6(host) ? `[${host}]` : host}:${port}`;
    this.#options = options;
  }

  async send(events: readonly AuditEvent[]): Promise<void> {
    const { address, form, producer } = this.#options;
    if (address.transport === 'udp') {
      await this.#datagrams(events.map((event) => syslogMessage(event, form, producer, datagramBytesMax)));
      return;
    }
    const socket = await this.#connected();
    const again = this.#inDoubt;
    const frames = events.map((event) => {
      const message = syslogMessage(event, form, producer);
      return Buffer.concat([Buffer.from(`${message.length} `), message]);
    });
    await this.#write(socket, Buffer.concat([...again, ...frames]));
    this.#inDoubt = [];
    const nowMs = performance.now();
    const fresh = [...again, ...frames].map((frame) => ({ atMs: nowMs, frame }));
    this.#written = [...this.#written.filter(({ atMs }) => nowMs - atMs < doubtMs), ...fresh].slice(-doubtMax);
  }

  async dispose(): Promise<void> {
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null || socket.destroyed) return;
    socket.end();
    await Promise.race([once(socket, 'close'), new Promise((resolve) => setTimeout(resolve, 1000).unref())]);
    socket.destroy();
  }

  async #datagrams(messages: readonly Buffer[]): Promise<void> {
    const { host, port } = this.#options.address;
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
    try {
      for (const message of messages)
        await new Promise<void>((resolve, reject) => {
          socket.once('error', reject);
          socket.send(message, port, host, (error) => (error === null ? resolve() : reject(error)));
        });
    } finally {
      socket.close();
    }
  }

  get #timeoutMs(): number {
    return this.#options.timeoutMs ?? 10_000;
  }

  async #connected(): Promise<Socket> {
    if (this.#socket?.writable) return this.#socket;
    const { address, tls = {} } = this.#options;
    const { host, port, transport } = address;
    const socket =
      transport === 'tls'
        ? connectTls({ host, port, minVersion: 'TLSv1.2', ...(isIPv6(host) ? {} : { servername: host }), ...tls })
        : connectTcp({ host, port });
    socket.setKeepAlive(true, 15_000);
    try {
      await this.#timed(once(socket, transport === 'tls' ? 'secureConnect' : 'connect'), socket);
    } catch (error) {
      socket.destroy();
      throw error;
    }
    socket.on('error', () => {});
    // Nothing is sent to us; reading shows the other side's end.
    socket.resume();
    socket.once('close', () => this.#broke(socket));
    socket.once('end', () => this.#broke(socket));
    this.#socket = socket;
    return socket;
  }

  #broke(socket: Socket): void {
    if (this.#socket !== socket) return;
    this.#socket = null;
    socket.destroy();
    const sinceMs = performance.now() - doubtMs;
    this.#inDoubt = this.#written.filter(({ atMs }) => atMs >= sinceMs).map(({ frame }) => frame);
    this.#written = [];
  }

  async #write(socket: Socket, bytes: Buffer): Promise<void> {
    const writing = new Promise<void>((resolve, reject) => {
      socket.once('close', () => reject(new Error('the connection broke')));
      socket.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
    await this.#timed(writing, socket);
  }

  async #timed<T>(work: Promise<T>, socket: Socket): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        socket.destroy();
        reject(new Error(`no answer within ${this.#timeoutMs} ms`));
      }, this.#timeoutMs);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
