/**
 * The hostile side of the hostile bench, a process of its own: clients that break the connect phase in every way they can, and
 * targets that do. All on loopback, bounded in number and by the parent's end.
 */
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls';
import { makeCertificate } from '@lucid-sessions/desktop';
import { Connector } from '@lucid-sessions/rdp';

export interface HostilePlan {
  /** The gateway's port where connections name their session. */
  tokenPort: number;
  /** A listener whose target is a good desktop. */
  goodPort: number;
  /** Listeners whose targets are this process's own. */
  targetPorts: number[];
}

export interface HostileCount {
  /** Connections made, by kind. */
  made: Record<string, number>;
  /** Of them those that finished TLS and began towards a good target: each is a session. */
  began: number;
}

const openMax = 400;
const perSecond = 40;
/** How long a silent or slow client stays, at most. */
const staysMs = 40_000;
/** Clients that begin and then lie become sessions: few of them. */
const liarEvery = 400;

const hello = Buffer.from('030000130ee000000000000100080003000000', 'hex');
const twelve = Buffer.from('0300000b06e0000000000000', 'hex').subarray(0, 12);
const confirm = Buffer.from('030000130ed000001234000200080001000000', 'hex');
const random = (max: number): number => Math.floor(Math.random() * max);
const randomBytes = (count: number): Buffer => Buffer.from(Array.from({ length: count }, () => random(256)));

function mutated(bytes: Uint8Array): Buffer {
  const copy = Buffer.from(bytes);
  for (let i = 1 + random(4); i > 0; i -= 1) copy[random(copy.length)] = random(256);
  return random(3) === 0 ? copy.subarray(0, random(copy.length)) : copy;
}

const sockets = new Set<Socket>();
const made: Record<string, number> = {};
let began = 0;

function open(port: number, kind: string): Socket | null {
  if (sockets.size >= openMax) return null;
  made[kind] = (made[kind] ?? 0) + 1;
  const socket = connect({ host: '127.0.0.1', port, localAddress: `127.66.${random(4)}.${1 + random(250)}` });
  sockets.add(socket);
  const timer = setTimeout(() => socket.destroy(), random(staysMs));
  socket
    .on('error', () => {})
    .on('close', () => {
      clearTimeout(timer);
      sockets.delete(socket);
    });
  socket.resume();
  return socket;
}

function secured(socket: Socket): TLSSocket {
  return connectTls({ socket, rejectUnauthorized: false }).on('error', () => {});
}

/** Up to TLS and a real Connect Initial, changed in a few places. */
function lie(port: number): void {
  const socket = open(port, 'began');
  if (socket === null) return;
  const connector = new Connector({
    routing: { kind: 'mstshash', name: 'liar' },
    desktopWidth: 1024,
    desktopHeight: 768,
    userName: 'liar',
  });
  socket.write(connector.start().output);
  socket.once('data', (bytes: Buffer) => {
    try {
      connector.step(bytes);
      const tls = secured(socket).once('secureConnect', () => {
        began += 1;
        tls.write(mutated(connector.tlsEstablished().output));
        tls.resume();
      });
    } catch {
      socket.destroy();
    }
  });
}

const clients: Record<string, (plan: HostilePlan) => void> = {
  silent: ({ tokenPort }) => void open(tokenPort, 'silent'),
  twelve: ({ tokenPort }) => void open(tokenPort, 'twelve')?.write(twelve),
  random: ({ goodPort }) => void open(goodPort, 'random')?.write(randomBytes(1 + random(600))),
  mutated: ({ goodPort }) => void open(goodPort, 'mutated')?.write(mutated(hello)),
  merged: ({ tokenPort }) => void open(tokenPort, 'merged')?.write(Buffer.concat([hello, randomBytes(random(9000))])),
  leaves: ({ goodPort }) => {
    const socket = open(goodPort, 'leaves');
    socket?.write(hello);
    socket?.once('data', () => (random(2) === 0 ? socket.destroy() : socket.resetAndDestroy()));
  },
  slow: ({ tokenPort }) => {
    const socket = open(tokenPort, 'slow');
    let at = 0;
    const timer = setInterval(() => socket?.write(hello.subarray(at, ++at)), 1500);
    socket?.on('close', () => clearInterval(timer));
  },
  tlsGarbage: ({ goodPort }) => {
    const socket = open(goodPort, 'tlsGarbage');
    socket?.write(hello);
    socket?.once('data', () => socket.write(randomBytes(2000)));
  },
  tlsSilent: ({ goodPort }) => {
    const socket = open(goodPort, 'tlsSilent');
    socket?.write(hello);
    socket?.once('data', () => secured(socket));
  },
  wrongToken: ({ tokenPort }) => {
    const cookie = Buffer.from(`Cookie: msts=${randomBytes(24).toString('base64url')}\r\n`);
    const request = Buffer.concat([
      Buffer.from([3, 0, 0, 19 + cookie.length, 14 + cookie.length]),
      hello.subarray(5, 11),
      cookie,
      hello.subarray(11),
    ]);
    const socket = open(tokenPort, 'wrongToken');
    socket?.write(request);
    socket?.once('data', () => secured(socket));
  },
  hostileTarget: ({ targetPorts }) => {
    const socket = open(targetPorts[random(targetPorts.length)] ?? 0, 'hostileTarget');
    socket?.write(hello);
    socket?.once('data', () =>
      secured(socket).once('secureConnect', function (this: TLSSocket) {
        this.write(randomBytes(random(3000)));
      }),
    );
  },
};

// ---- targets

const certificate = await makeCertificate('hostile');
const secureContext = createSecureContext({ key: certificate.key, cert: certificate.cert });
const chatter = (socket: Socket): void => {
  const timer = setInterval(() => socket.write(mutated(randomBytes(1000))), 200);
  socket.on('close', () => clearInterval(timer));
};
const targets: ((socket: Socket) => void)[] = [
  (socket) => void socket.write(Buffer.concat([confirm, Buffer.from([0])])),
  (socket) => void socket.write(randomBytes(500)),
  (socket) => void socket.write(mutated(confirm)),
  () => {},
  (socket) => void socket.end(confirm),
  (socket) => {
    socket.once('data', () => {
      socket.write(confirm);
      const tls = new TLSSocket(socket, { isServer: true, secureContext }).on('error', () => {});
      tls.on('data', () => {});
      tls.once('secure', () => chatter(tls));
    });
  },
  (socket) => void socket.resetAndDestroy(),
];

async function listen(serve: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.setTimeout(staysMs, () => socket.destroy());
    serve(socket);
    socket.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 511, resolve));
  return (server.address() as { port: number }).port;
}

const hostileTargets = await Promise.all(targets.map(listen));
let timer: NodeJS.Timeout | null = null;
process.on('message', (message: HostilePlan | 'stop') => {
  if (message === 'stop') {
    if (timer !== null) clearInterval(timer);
    for (const socket of sockets) socket.destroy();
    process.send?.({ made, began } satisfies HostileCount);
    return;
  }
  const kinds = Object.values(clients);
  let attempts = 0;
  timer = setInterval(() => {
    attempts += 1;
    if (attempts % liarEvery === 0) lie(message.goodPort);
    else kinds[random(kinds.length)]?.(message);
  }, 1000 / perSecond);
});
process.on('disconnect', () => process.exit());
process.send?.({ hostileTargets });
