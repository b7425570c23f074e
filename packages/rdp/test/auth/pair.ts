/** A CredSSP client and server of ours, joined without a wire: every message of either passes through `spoil`. */
import { createHash } from 'node:crypto';
import {
  type AuthPlatform,
  CredSspClient,
  type CredSspClientEvent,
  type CredSspClientOptions,
  CredSspServer,
  type CredSspServerEvent,
  type CredSspServerOptions,
  ntHashOf,
} from '../../src/auth/index.ts';

/** Random bytes that are the same every time. */
export function platform(seed: string): AuthPlatform {
  let count = 0;
  const block = (): Buffer => createHash('sha512').update(`${seed} ${count++}`).digest();
  return {
    randomBytes: (length) => {
      let bytes = Buffer.alloc(0);
      while (bytes.length < length) bytes = Buffer.concat([bytes, block()]);
      return new Uint8Array(bytes.subarray(0, length));
    },
    nowMs: () => 1_796_000_000_000,
  };
}

export const publicKey = new Uint8Array(270).map((_, at) => (at * 7 + 255) & 0xff);

export const clientOptions = (more: Partial<CredSspClientOptions> = {}): CredSspClientOptions => ({
  credentials: { username: 'alice', domain: 'LAB', password: 'correct horse' },
  targetName: 'TERMSRV/target.test',
  workstation: 'GATEWAY',
  publicKey,
  envelope: 'raw',
  earlyAuthorization: false,
  restrictedAdmin: false,
  minimumVersion: 5,
  platform: platform('client'),
  ...more,
});

export const serverOptions = (more: Partial<CredSspServerOptions> = {}): CredSspServerOptions => ({
  publicKey,
  name: 'GATEWAY',
  earlyAuthorization: false,
  minimumVersion: 5,
  platform: platform('server'),
  ...more,
});

type From = 'client' | 'server';

export interface PairOptions {
  client?: Partial<CredSspClientOptions>;
  server?: Partial<CredSspServerOptions>;
  /** The server's password of this account; null: it knows no such account. */
  password?: string | null;
  /** What becomes of message `index` of its sender on the way. */
  spoil?: (bytes: Uint8Array, from: From, index: number) => Uint8Array[];
}

export interface Outcome {
  client: CredSspClientEvent[];
  server: CredSspServerEvent[];
  /** What either sent. */
  sent: Record<From, Uint8Array[]>;
  state: Record<From, string>;
}

/** Runs both until nothing moves any more, then closes what is open, as a socket would. */
export function play(options: PairOptions = {}): Outcome {
  const client = new CredSspClient(clientOptions(options.client));
  const server = new CredSspServer(serverOptions(options.server));
  const password =
    options.password === undefined ? clientOptions(options.client).credentials.password : options.password;
  const spoil = options.spoil ?? ((bytes) => [bytes]);
  const outcome: Outcome = {
    client: [],
    server: [],
    sent: { client: [], server: [] },
    state: { client: '', server: '' },
  };
  const queue: { to: From; bytes: Uint8Array }[] = [];
  const send = (from: From, bytes: Uint8Array): void => {
    if (bytes.length === 0) return;
    const index = outcome.sent[from].push(bytes) - 1;
    const to = from === 'client' ? 'server' : 'client';
    for (const piece of spoil(bytes, from, index)) queue.push({ to, bytes: piece });
  };
  const fromServer = (step: { output: Uint8Array; events: CredSspServerEvent[] }): void => {
    send('server', step.output);
    outcome.server.push(...step.events);
    for (const event of step.events)
      if (event.kind === 'account') fromServer(server.account(password === null ? null : ntHashOf(password)));
  };
  send('client', client.start().output);
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    if (next.to === 'server') fromServer(server.step(next.bytes));
    else {
      const { output, events } = client.step(next.bytes);
      outcome.client.push(...events);
      send('client', output);
    }
  }
  outcome.client.push(...client.closed().events);
  outcome.state = { client: client.state, server: server.state };
  return outcome;
}

export const endingOf = (events: readonly { kind: string }[]): string => {
  const last = events.at(-1);
  if (last === undefined) return 'nothing';
  return last.kind === 'ended' ? (last as { how: string } & { kind: string }).how : last.kind;
};
