/** Mutual TLS between services: who a certificate says its holder is, what both sides insist on, and calls over it. */

import { constants } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Agent, type RequestOptions, request } from 'node:https';
import { checkServerIdentity, createSecureContext, type PeerCertificate, type TLSSocket } from 'node:tls';
import { LucidError, type RpcFetch, type ServiceName, serviceNames } from '@lucid-sessions/contract';
import { EnvironmentError } from './environment.ts';
import { noteCertificate } from './metrics.ts';
import { Reloaded } from './reloaded.ts';
import { accessProblem } from './secret-file.ts';
import type { ServiceTlsFiles } from './service-proof.ts';
import { isLoopback } from './variables.ts';

export interface TlsMaterial {
  cert: Buffer;
  key: Buffer;
  ca: Buffer;
}

export const serviceTlsSettings = {
  minVersion: 'TLSv1.3',
  // A session that is resumed would be judged by a CA that may have been replaced since.
  secureOptions: constants.SSL_OP_NO_TICKET,
} as const;

/** Throws EnvironmentError for files nobody could connect with. */
export function openTlsFiles(files: ServiceTlsFiles, onProblem: (message: string) => void): Reloaded<TlsMaterial> {
  const make = ([cert, key, ca]: Buffer[]): TlsMaterial => {
    const material = { cert: cert!, key: key!, ca: ca! };
    createSecureContext(material);
    noteCertificate('services', material.cert);
    return material;
  };
  try {
    return new Reloaded([files.certificatePath, files.keyPath, files.caPath], make, onProblem);
  } catch (cause) {
    const { path } = cause as NodeJS.ErrnoException;
    const why = accessProblem(cause);
    throw new EnvironmentError(
      'LUCID_SERVICE_TLS_CERT',
      why === null
        ? `must name a certificate, LUCID_SERVICE_TLS_KEY its key and LUCID_SERVICE_TLS_CA a CA, in PEM form (${(cause as NodeJS.ErrnoException).code})`
        : `or another of the three names ${path}, which can't be read: ${why}`,
      { cause },
    );
  }
}

/** What the customer's and the cluster's host names call them. */
const prefixes: Readonly<Record<ServiceName, RegExp>> = Object.fromEntries(
  serviceNames.map((name) => {
    const before = name === 'processor' ? 'lucid-|session-|chunk-' : 'lucid-|session-';
    return [name, new RegExp(`^(?:${before})?${name}(?:-\\d+)?$`)];
  }),
) as unknown as Record<ServiceName, RegExp>;

/**
 * The services a certificate is for: the first label of its DNS names (`recorder`, `lucid-recorder-0.ns.svc`, `chunk-processor`) and
 * the last part of its URIs (`spiffe://cluster/ns/lucid/sa/recorder`).
 */
export function servicesOf(subjectAltName: string | undefined): ServiceName[] {
  const names = [...(subjectAltName ?? '').matchAll(/(DNS|URI):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/g)].flatMap(
    ([, kind, value = '']) => {
      // What needs quotes is no service's name.
      if (value.startsWith('"')) return [];
      return [kind === 'DNS' ? (value.split('.')[0] ?? '') : (value.split('/').at(-1) ?? '')];
    },
  );
  return serviceNames.filter((service) => names.some((name) => prefixes[service].test(name.toLowerCase())));
}

interface Peer {
  services: readonly ServiceName[];
  untilMs: number;
}

/** By connection: a certificate is read once. */
const peers = new WeakMap<object, Peer>();

/** Who is at the other end of a connection to a door. Throws LucidError `unauthenticated`. */
export function peerServices(socket: TLSSocket): readonly ServiceName[] {
  let peer = peers.get(socket);
  if (peer === undefined) {
    const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined;
    if (certificate === undefined)
      throw new LucidError('unauthenticated', 'this door is for services with a certificate of their CA');
    peer = { services: servicesOf(certificate.subjectAltName), untilMs: certificate.validToDate.getTime() };
    peers.set(socket, peer);
  }
  // A connection that stays open must not outlive what opened it.
  if (Date.now() >= peer.untilMs)
    throw new LucidError('unauthenticated', 'the certificate this connection was opened with has expired');
  return peer.services;
}

/** The name in the address unless it is this machine's own, and the service that is to be there. */
function checkPeer(service: ServiceName, host: string, certificate: PeerCertificate): Error | undefined {
  const problem = isLoopback(host) ? undefined : checkServerIdentity(host, certificate);
  if (problem !== undefined) return problem;
  if (servicesOf(certificate.subjectaltname).includes(service)) return undefined;
  return new Error(`the certificate of ${host} is no ${service}'s`);
}

/** What a request to `service` adds to its own options. */
export const tlsRequestOptions = ({ cert, key, ca }: TlsMaterial, service: ServiceName): RequestOptions => ({
  cert,
  key,
  ca,
  minVersion: serviceTlsSettings.minVersion,
  checkServerIdentity: (host, certificate) => checkPeer(service, host, certificate),
});

/** Calls over mutual TLS, with the files as they are at that moment. */
export function tlsFetch(material: Reloaded<TlsMaterial>, service: ServiceName): RpcFetch {
  // Options are part of what a connection is kept under: renewed files open new ones.
  const agent = new Agent({ keepAlive: true, maxCachedSessions: 0 });
  return (address, { method, headers, body, signal }) =>
    new Promise((resolve, reject) => {
      const options = { ...tlsRequestOptions(material.value, service), method, headers, agent, signal };
      const asked = request(address, { ...options, headers: { ...headers, 'content-length': body.length } });
      asked.on('error', (error) => reject(signal.aborted ? signal.reason : error));
      asked.on('response', (response) => {
        resolve({
          status: response.statusCode ?? 0,
          headers: { get: (name) => textOf(response.headers[name]) },
          body: bodyOf(response, signal),
        });
      });
      asked.end(body);
    });
}

const textOf = (value: string | string[] | undefined): string | null =>
  typeof value === 'string' ? value : (value?.[0] ?? null);

function bodyOf(response: IncomingMessage, signal: AbortSignal): Awaited<ReturnType<RpcFetch>>['body'] {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of response) yield piece as Buffer;
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    }
  }
  return {
    [Symbol.asyncIterator]: pieces,
    cancel: async () => void response.destroy(),
  };
}
