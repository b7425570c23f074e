/** One question to the KDCs of a realm, over TCP (RFC 4120 section 7.2.2). */
import { resolveSrv } from 'node:dns/promises';
import { connect } from 'node:net';
import type { Krb5Conf } from './krb5-conf.ts';

/** Answers with tickets of many groups have tens of kilobytes. */
const answerBytesMax = 256 * 1024;
const kdcsMax = 6;
const kdcPort = 88;

interface Address {
  host: string;
  port: number;
}

/** Where the file names none, DNS is asked. Rejects with Error. */
async function kdcsOf(realm: string, { kdcs, looksInDns }: Krb5Conf): Promise<Address[]> {
  const named = kdcs.get(realm) ?? [];
  if (named.length > 0) return named.map(addressOf).slice(0, kdcsMax);
  if (!looksInDns) throw new Error(`krb5.conf names no KDC of ${realm}, and dns_lookup_kdc is off`);
  const found = await resolveSrv(`_kerberos._tcp.${realm}`);
  return found
    .toSorted((a, b) => a.priority - b.priority || b.weight - a.weight)
    .map(({ name, port }) => ({ host: name, port }))
    .slice(0, kdcsMax);
}

function addressOf(text: string): Address {
  const [, host = text, port] = /^\[?([^\]]*?)\]?(?::(\d{1,5}))?$/.exec(text) ?? [];
  return { host, port: Number(port ?? kdcPort) };
}

/** Asks one KDC after the other until one answers. Rejects with Error that says what each of them did. */
export async function askKdc(
  realm: string,
  message: Uint8Array,
  conf: Krb5Conf,
  { untilMs, signal }: { untilMs: number; signal: AbortSignal },
): Promise<Uint8Array> {
  const kdcs = await orLate(kdcsOf(realm, conf), untilMs - performance.now(), signal);
  const problems: string[] = [];
  for (const [at, kdc] of kdcs.entries()) {
    const shareMs = (untilMs - performance.now()) / (kdcs.length - at);
    try {
      return await askOne(kdc, message, shareMs, signal);
    } catch (error) {
      problems.push(`${kdc.host}:${kdc.port}: ${(error as Error).message}`);
    }
  }
  throw new Error(problems.length === 0 ? `DNS names no KDC of ${realm}` : problems.join('; '));
}

async function orLate<T>(work: Promise<T>, timeoutMs: number, signal: AbortSignal): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error('no answer in time')), Math.max(0, timeoutMs));
  const leave = (): void => late.reject(new Error('nobody waits any more'));
  signal.addEventListener('abort', leave);
  if (signal.aborted) leave();
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', leave);
  }
}

async function askOne({ host, port }: Address, message: Uint8Array, timeoutMs: number, signal: AbortSignal) {
  const socket = connect({ host, port });
  const answer = new Promise<Uint8Array>((resolve, reject) => {
    let got = Buffer.alloc(0);
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('it closed the connection')));
    socket.on('data', (bytes: Buffer) => {
      got = Buffer.concat([got, bytes]);
      if (got.length < 4) return;
      const length = got.readUInt32BE(0);
      if (length > answerBytesMax) reject(new Error(`an answer of ${length} bytes`));
      else if (got.length >= 4 + length) resolve(Uint8Array.from(got.subarray(4, 4 + length)));
    });
  });
  const head = Buffer.alloc(4);
  head.writeUInt32BE(message.length);
  socket.write(Buffer.concat([head, message]));
  try {
    return await orLate(answer, timeoutMs, signal);
  } finally {
    answer.catch(() => {});
    socket.destroy();
  }
}
