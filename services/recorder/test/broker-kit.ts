/** A broker of our own, and what every session that was sent on must keep to. */
import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { createSecureContext, TLSSocket } from 'node:tls';
import { makeCertificate, type TestCertificate } from '@lucid-sessions/desktop';
import { SessionDecoder } from '@lucid-sessions/graphics';
import {
  Acceptor,
  type DomainIds,
  enhancedServerRedirection,
  indicationFrame,
  licensePdu,
  PduType,
  Protocol,
  SecurityFlag,
  type ServerRedirection,
  securityHeader,
  validClientLicense,
  wrapShareControl,
  x224ConnectionRequest,
} from '@lucid-sessions/rdp';
import { frameFlags, frameKinds } from '@lucid-sessions/recording';
import { encode } from '@lucid-sessions/wire';
import type { Gateway } from './gateway-kit.ts';

export const utf16 = (text: string): Uint8Array => Buffer.from(`${text}\0`, 'utf16le');

export interface Broker {
  port: number;
  /** Connection requests it got. */
  asked: string[];
  stop: () => void;
}

/** Takes a client as far as its Client Info, licenses it unless told otherwise, and sends it on. */
export async function broker(
  t: TestContext,
  redirection: Omit<ServerRedirection, 'flags' | 'sessionId'>,
  {
    licenses = true,
    host = '127.0.0.1',
    port = 0,
    certificate,
  }: { licenses?: boolean; host?: string; port?: number; certificate?: TestCertificate } = {},
): Promise<Broker> {
  const { key, cert } = certificate ?? (await makeCertificate());
  const secureContext = createSecureContext({ key, cert });
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    serve(socket, secureContext, asked, (ids) => [
      ...(licenses ? [license(ids)] : []),
      sentOn(ids, { flags: SecurityFlag.redirectionPkt, sessionId: 1, ...redirection }),
    ]);
  });
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  const stop = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  t.after(stop);
  return { asked, stop, port: (server.address() as AddressInfo).port };
}

function serve(
  socket: Socket,
  secureContext: ReturnType<typeof createSecureContext>,
  asked: string[],
  answer: (ids: DomainIds) => Uint8Array[],
): void {
  const acceptor = new Acceptor({ protocols: Protocol.ssl, holds: true });
  let stream: Socket = socket;
  const take = (bytes: Buffer): void => {
    const { output, events } = acceptor.step(bytes);
    if (output.length > 0) stream.write(output);
    for (const event of events) {
      if (event.kind === 'connectionRequest')
        asked.push(Buffer.from(encode(x224ConnectionRequest, event.request)).toString('latin1'));
      if (event.kind === 'startTls') {
        socket.off('data', take);
        stream = new TLSSocket(socket, { isServer: true, secureContext }).on('error', () => {});
        stream.on('data', take);
        acceptor.tlsEstablished();
      }
      if (event.kind === 'clientInfo') {
        // In one piece with what a server says at the end: nobody may hear that.
        const goodbye = Buffer.from('0300000902f0802180', 'hex');
        stream.end(Buffer.concat([...answer(acceptor.ids), goodbye]));
      }
    }
  };
  socket.on('data', take);
}

const license = ({ ioChannelId }: DomainIds): Uint8Array => {
  const header = encode(securityHeader, { flags: SecurityFlag.licensePkt, flagsHi: 0 });
  return indicationFrame(ioChannelId, Buffer.concat([header, encode(licensePdu, validClientLicense())]));
};

const sentOn = ({ ioChannelId, userId }: DomainIds, redirection: ServerRedirection): Uint8Array =>
  indicationFrame(
    ioChannelId,
    wrapShareControl(PduType.serverRedirection, userId, enhancedServerRedirection, { pad2Octets: 0, redirection }),
  );

export async function assertReplayable(gateway: Gateway): Promise<void> {
  const decoder = new SessionDecoder();
  for (const { kind, flags, body: bytes } of gateway.frames())
    if (kind === frameKinds.pdu && (flags & frameFlags.receivedOnly) === 0)
      await decoder.push({
        fromServer: (flags & frameFlags.serverToClient) !== 0,
        beforeTls: (flags & frameFlags.beforeTls) !== 0,
        bytes,
      });
  // No decoder of H.264 is brought.
  const unread = [...decoder.screen.unsupported.keys()].filter((name) => !name.endsWith('.noDecoder'));
  assert.deepEqual(unread, []);
  assert.ok(decoder.screen.width > 0);
}

/** A text in both encodings, or bytes. */
export function assertNowhere(gateway: Gateway, secret: string | Uint8Array): void {
  const forms =
    typeof secret === 'string' ? [Buffer.from(secret), Buffer.from(secret, 'utf16le')] : [Buffer.from(secret)];
  for (const { body } of gateway.frames())
    for (const form of forms) assert.ok(!Buffer.from(body).includes(form), 'a secret stands in a frame');
  const told = JSON.stringify([gateway.lines, gateway.reports.filter(({ kind }) => kind !== 'progress')]);
  const texts =
    typeof secret === 'string' ? [secret] : (['hex', 'base64'] as const).map((as) => forms[0]!.toString(as));
  for (const text of texts) assert.ok(!told.includes(text), 'a secret was told');
}
