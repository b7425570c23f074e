/** The far end of the relay bench, a process of its own: a TLS server that echoes small PDUs and streams large ones. */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';
import { makeCertificate } from '@lucid-sessions/desktop';
import { Acceptor, Protocol } from '@lucid-sessions/rdp';
import { bulkPdus, order, smallBytes, smallPdu } from './relay-wire.ts';

const certificate = await makeCertificate('bench');
const secureContext = createSecureContext({ key: certificate.key, cert: certificate.cert, minVersion: 'TLSv1.2' });
const bulk = bulkPdus(8);
const echoes = Buffer.concat(Array.from({ length: 64 }, () => smallPdu(0)));

function serve(stream: TLSSocket): void {
  let streaming = false;
  const pump = (): void => {
    while (streaming && !stream.destroyed && stream.write(bulk));
  };
  stream.on('drain', pump).on('error', () => {});
  stream.on('close', () => {
    streaming = false;
  });
  stream.on('data', (bytes: Buffer) => {
    let pings = 0;
    // The ends never have more than a few small PDUs under way, and those arrive whole.
    for (let at = 0; at + smallBytes <= bytes.length; at += smallBytes) {
      if (bytes[at + 3] === order.ping) pings += 1;
      if (bytes[at + 3] === order.startBulk) streaming = true;
      if (bytes[at + 3] === order.stopBulk) streaming = false;
    }
    if (pings > 0) stream.write(echoes.subarray(0, pings * smallBytes));
    pump();
  });
}

/** RDP up to the active session, then the bench's own PDUs. */
function serveRdp(raw: Socket): void {
  const acceptor = new Acceptor({ protocols: Protocol.ssl });
  let stream: Socket = raw;
  const take = (bytes: Buffer): void => {
    const { output, events } = acceptor.step(bytes);
    if (output.length > 0) stream.write(output);
    for (const event of events) {
      if (event.kind === 'startTls') {
        raw.off('data', onData);
        stream = new TLSSocket(raw, { isServer: true, secureContext }).on('error', () => {});
        acceptor.tlsEstablished();
        stream.on('data', onData);
      }
      if (event.kind === 'active') {
        stream.off('data', onData);
        serve(stream as TLSSocket);
      }
    }
  };
  // A client that lies ends its own connection only.
  const onData = (bytes: Buffer): void => {
    try {
      take(bytes);
    } catch {
      stream.destroy();
    }
  };
  raw.on('data', onData).on('error', () => {});
}

const listen = async (take: (socket: Socket) => void): Promise<number> => {
  const server = createServer({ noDelay: true }, take);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 511, resolve));
  return (server.address() as AddressInfo).port;
};

const rdpPort = await listen(serveRdp);
const tlsPort = await listen((raw) => {
  serve(new TLSSocket(raw, { isServer: true, secureContext }));
});
process.send?.({ rdpPort, tlsPort });
process.on('disconnect', () => process.exit());
