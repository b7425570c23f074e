/** What a recorded session does with a target that misbehaves: one whose every byte the test writes. */
import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createSecureContext, TLSSocket } from 'node:tls';
import { connectClient, makeCertificate, type RdpClient } from '@lucid-sessions/desktop';
import {
  Acceptor,
  ErrorInfo,
  enhancedServerRedirection,
  indicationFrame,
  PduType,
  Protocol,
  RedirectionFlag,
  wrapShareControl,
} from '@lucid-sessions/rdp';
import { frameKinds } from '@lucid-sessions/recording';
import { type Gateway, startGateway, ticketFor } from './gateway-kit.ts';

interface Scripted {
  gateway: Gateway;
  rdp: RdpClient;
  /** Sends bytes as the target. */
  send: (bytes: Uint8Array) => void;
}

async function scripted(t: TestContext): Promise<Scripted> {
  const { key, cert } = await makeCertificate('scripted');
  const secureContext = createSecureContext({ key, cert });
  let stream: Socket;
  const server = createServer({ noDelay: true }, (raw) => {
    const acceptor = new Acceptor({ protocols: Protocol.ssl });
    stream = raw.on('error', () => {});
    const onData = (bytes: Buffer): void => {
      const { output, events } = acceptor.step(bytes);
      if (output.length > 0) stream.write(output);
      for (const event of events)
        if (event.kind === 'startTls') {
          raw.off('data', onData);
          stream = new TLSSocket(raw, { isServer: true, secureContext }).on('data', onData).on('error', () => {});
          acceptor.tlsEstablished();
        }
    };
    raw.on('data', onData);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const ticket = ticketFor((server.address() as AddressInfo).port);
  const gateway = await startGateway(t, { admit: () => ({ admitted: true, ticket }) });
  const rdp = await connectClient({ port: gateway.port, cookie: 'a', userName: 'a' });
  t.after(() => rdp.destroy());
  return { gateway, rdp, send: (bytes) => void stream.write(bytes) };
}

/** A fast-path update of `length` bytes. */
function update(length: number, fill: number): Buffer {
  const pdu = Buffer.alloc(length, fill);
  pdu.writeUInt16BE(0x8000 | length, 1);
  pdu[0] = 0;
  // Synchronize: clients pass it by.
  pdu.writeUIntLE(3, 3, 1);
  pdu.writeUInt16LE(length - 6, 4);
  return pdu;
}

const recorded = ({ gateway }: Scripted, fill: number): number[] =>
  gateway
    .frames()
    .filter(({ kind, body }) => kind === frameKinds.pdu && body.at(-1) === fill && body.length > 1000)
    .map(({ body }) => body.length);

test('a target that sends the client elsewhere ends the session: the recording would end there too', async (t) => {
  const { gateway, rdp, send } = await scripted(t);
  const redirection = {
    flags: 0x400,
    sessionId: 0,
    redirFlags: RedirectionFlag.targetFqdn,
    fields: { targetFqdn: Buffer.from('other.example\0', 'utf16le') },
  };
  const value = { pad2Octets: 0, redirection };
  send(indicationFrame(1003, wrapShareControl(PduType.serverRedirection, 1002, enhancedServerRedirection, value)));
  assert.equal((await rdp.ended).errorInfo, ErrorInfo.cbRedirectingToDestination.code);
  const ended = await gateway.reported('ended');
  assert.deepEqual([ended.reason, ended.failed], ['protocol_violation', true]);
  assert.match(ended.message, /on to other\.example, past the recording/);
});

test('PDUs that come in pieces are recorded whole, over pauses and flushes', async (t) => {
  const session = await scripted(t);
  const { gateway, rdp, send } = session;
  const { port } = gateway.recorder;
  const received = async (bytes: number): Promise<void> => {
    while (rdp.statistics.receivedBytes < bytes) await new Promise((resolve) => setTimeout(resolve, 2));
  };
  let total = rdp.statistics.receivedBytes;
  const piecewise = async (fill: number, between: () => Promise<unknown>): Promise<void> => {
    const pdu = update(30_000, fill);
    send(pdu.subarray(0, 10_000));
    await received(total + 10_000);
    await between();
    send(pdu.subarray(10_000));
    total += 30_000;
    await received(total);
  };
  await piecewise(0x11, () => new Promise((resolve) => setTimeout(resolve, 60)));
  // Began before the pause: it belongs to the recording. Began inside: it does not, however it ends.
  await piecewise(0x22, () => port.pause({ sessionId: 'session-1' }));
  await piecewise(0x33, () => port.resume({ sessionId: 'session-1' }));
  await piecewise(0x44, async () => {});
  await port.pause({ sessionId: 'session-1' });
  await rdp.close();
  await gateway.reported('drained');
  assert.deepEqual(
    [0x11, 0x22, 0x33, 0x44].map((fill) => recorded(session, fill)),
    [[30_000], [30_000], [], [30_000]],
  );
  const pauses = gateway.reports.flatMap((report) =>
    report.kind === 'fact' && report.fact.kind === 'pause' && report.fact.toUs !== null ? [report.fact] : [],
  );
  assert.equal(pauses.length, 2);
  assert.ok(pauses.every(({ fromUs, toUs }) => (toUs ?? 0) >= fromUs));
});

test('stop in the middle of a PDU waits for its end, then says goodbye', async (t) => {
  const { gateway, rdp, send } = await scripted(t);
  const before = rdp.statistics.receivedBytes;
  const pdu = update(20_000, 0x55);
  send(pdu.subarray(0, 5_000));
  while (rdp.statistics.receivedBytes < before + 5_000) await new Promise((resolve) => setTimeout(resolve, 2));
  const stopping = gateway.recorder.port.stop({ sessionId: 'session-1', reason: 'stopped', message: 'enough' });
  send(pdu.subarray(5_000));
  await stopping;
  const end = await rdp.ended;
  assert.deepEqual([end.errorInfo, end.orderly, end.problem], [ErrorInfo.rpcInitiatedDisconnect.code, true, null]);
});

test('a target that stalls in the middle of a PDU can not hold a stop up', async (t) => {
  const { gateway, rdp, send } = await scripted(t);
  const before = rdp.statistics.receivedBytes;
  send(update(20_000, 0x55).subarray(0, 5_000));
  while (rdp.statistics.receivedBytes < before + 5_000) await new Promise((resolve) => setTimeout(resolve, 2));
  await gateway.recorder.port.stop({ sessionId: 'session-1', reason: 'stopped', message: 'enough' });
  assert.equal((await rdp.ended).orderly, false);
  assert.equal((await gateway.reported('ended')).reason, 'stopped');
});
