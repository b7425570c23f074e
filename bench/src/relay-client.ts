/** The near end of the relay bench, a process of its own, told what to do by messages. */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Connector } from '@lucid-sessions/rdp';
import { order, smallBytes, smallPdu } from './relay-wire.ts';

export type ClientTask =
  | { kind: 'connect'; port: number; rdp: boolean; count: number }
  | { kind: 'bulk'; seconds: number }
  /** `perSecond` 0: back to back. */
  | { kind: 'ping'; count: number; perSecond: number; connections: number }
  | { kind: 'close' };

export interface ClientAnswer {
  bytes: number;
  seconds: number;
  latenciesUs: number[];
}

let streams: TLSSocket[] = [];

function openTls(port: number): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const stream = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
    stream.setNoDelay(true);
    stream.once('secureConnect', () => resolve(stream)).on('error', reject);
  });
}

/** RDP up to the active session. */
function openRdp(port: number, index: number): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const connector = new Connector({
      routing: { kind: 'mstshash', name: `bench-${index}` },
      desktopWidth: 1024,
      desktopHeight: 768,
      userName: 'bench',
    });
    const raw = connectTcp({ host: '127.0.0.1', port, noDelay: true }).on('error', reject);
    raw.on('close', () => reject(new Error('closed before the session was active')));
    let stream: Socket = raw;
    const onData = (bytes: Buffer): void => {
      const { output, events } = connector.step(bytes);
      if (output.length > 0) stream.write(output);
      for (const event of events) {
        if (event.kind === 'startTls') {
          raw.off('data', onData);
          const secured = connectTls({ socket: raw, rejectUnauthorized: false }).on('error', reject);
          stream = secured;
          secured.once('secureConnect', () => {
            secured.on('data', onData);
            secured.write(connector.tlsEstablished().output);
          });
        }
        if (event.kind === 'active') {
          stream.off('data', onData);
          resolve(stream as TLSSocket);
        }
      }
    };
    raw.on('data', onData).once('connect', () => raw.write(connector.start().output));
  });
}

async function connect({ port, rdp, count }: Extract<ClientTask, { kind: 'connect' }>): Promise<void> {
  streams = [];
  for (let i = 0; i < count; i += 1) streams.push(await (rdp ? openRdp(port, i) : openTls(port)));
}

async function bulk(seconds: number): Promise<ClientAnswer> {
  let bytes = 0;
  const count = (piece: Buffer): void => {
    bytes += piece.length;
  };
  for (const stream of streams) stream.on('data', count).write(smallPdu(order.startBulk));
  await new Promise((resolve) => setTimeout(resolve, 300));
  const startBytes = bytes;
  const start = performance.now();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const answer = { bytes: bytes - startBytes, seconds: (performance.now() - start) / 1000, latenciesUs: [] };
  for (const stream of streams) stream.write(smallPdu(order.stopBulk));
  // What is still under way must not fall into the next task.
  for (let before = -1; before !== bytes; ) {
    before = bytes;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  for (const stream of streams) stream.off('data', count);
  return answer;
}

/** One connection's pings; each answer is awaited. */
function pings(stream: TLSSocket, count: number, perSecond: number, startMs: number): Promise<number[]> {
  return new Promise((resolve) => {
    const latenciesUs: number[] = [];
    const ping = smallPdu(order.ping);
    let sentAt = 0;
    let received = 0;
    const began = performance.now() + startMs;
    const send = (): void => {
      sentAt = performance.now();
      stream.write(ping);
    };
    const onData = (bytes: Buffer): void => {
      received += bytes.length;
      if (received < smallBytes) return;
      received -= smallBytes;
      latenciesUs.push((performance.now() - sentAt) * 1000);
      if (latenciesUs.length === count) {
        stream.off('data', onData);
        resolve(latenciesUs);
      } else if (perSecond === 0) send();
      else setTimeout(send, Math.max(0, began + (latenciesUs.length * 1000) / perSecond - performance.now()));
    };
    stream.on('data', onData);
    setTimeout(send, startMs);
  });
}

async function obey(task: ClientTask): Promise<ClientAnswer> {
  const none = { bytes: 0, seconds: 0, latenciesUs: [] };
  switch (task.kind) {
    case 'connect':
      await connect(task);
      return none;
    case 'bulk':
      return bulk(task.seconds);
    case 'ping': {
      const some = streams.slice(0, task.connections);
      // Evenly spread: they must not queue behind each other in this very process.
      const stepMs = task.perSecond === 0 ? 0 : 1000 / task.perSecond / some.length;
      const all = await Promise.all(some.map((stream, i) => pings(stream, task.count, task.perSecond, i * stepMs)));
      return { ...none, latenciesUs: all.flat() };
    }
    case 'close':
      for (const stream of streams) stream.destroy();
      streams = [];
      await new Promise((resolve) => setTimeout(resolve, 200));
      return none;
  }
}

process.on('message', (task: ClientTask) => {
  obey(task).then(
    (answer) => process.send?.(answer),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
process.on('disconnect', () => process.exit());
process.send?.({ ready: 1 });
