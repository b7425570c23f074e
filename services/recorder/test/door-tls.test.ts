/** TLS at the door and towards targets, and clients and targets that misuse the connect phase, over real sockets. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { connect as connectTls, createSecureContext, type SecureContextOptions, TLSSocket } from 'node:tls';
import type { SessionTicket } from '@lucid-sessions/contract';
import { connectClient, type Desktop, makeCertificate, startDesktop } from '@lucid-sessions/desktop';
import { Connector } from '@lucid-sessions/rdp';
import { eventually } from '@lucid-sessions/testkit';
import fc from 'fast-check';
import { type Gateway, startGateway, ticketFor } from './gateway-kit.ts';

const request = Buffer.from(
  '0300002a25e00000000000436f6f6b69653a206d737473686173683d746573740d0a0100080003000000',
  'hex',
);
const confirm = Buffer.from('030000130ed000001234000200080001000000', 'hex');

async function listening(t: TestContext, onSocket: (socket: Socket) => void): Promise<number> {
  const open = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    open.add(socket.on('error', () => {}).on('close', () => open.delete(socket)));
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function gatewayTo(t: TestContext, port: number, more: Partial<SessionTicket['target']> = {}): Promise<Gateway> {
  const ticket = ticketFor(port);
  return startGateway(t, {
    admit: () => ({ admitted: true, ticket: { ...ticket, target: { ...ticket.target, ...more } } }),
  });
}

async function desktop(t: TestContext): Promise<Desktop> {
  const started = await startDesktop();
  t.after(() => started.stop());
  return started;
}

/** A target that answers X.224 and does TLS by `options`; whatever comes then is read and nothing said. */
async function tlsTarget(t: TestContext, options: SecureContextOptions, onTls: (tls: TLSSocket) => void = () => {}) {
  const { key, cert } = await makeCertificate();
  const secureContext = createSecureContext({ key, cert, ...options });
  return listening(t, (socket) => {
    socket.once('data', () => {
      socket.write(confirm);
      const tls = new TLSSocket(socket, { isServer: true, secureContext }).on('error', () => {});
      tls.once('secure', () => onTls(tls));
      tls.resume();
    });
  });
}

/** Does X.224 with `port` for whoever speaks TLS alone. */
const behindX224 = (t: TestContext, port: number): Promise<number> =>
  listening(t, (tlsSide) => {
    const rdpSide = connect(port, '127.0.0.1').on('error', () => {});
    rdpSide.write(request);
    rdpSide.once('data', (answer) => {
      assert.equal(answer.length, confirm.length);
      tlsSide.pipe(rdpSide).pipe(tlsSide);
    });
  });

function openssl(t: TestContext, ...args: string[]) {
  const child = spawn('openssl', args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece: Buffer) => (text += piece.toString()));
  child.stdin.on('error', () => {});
  t.after(() => child.kill('SIGKILL'));
  return { child, text: () => text };
}

test('a client may not negotiate TLS anew (openssl s_client, R)', async (t) => {
  const gateway = await gatewayTo(t, (await desktop(t)).port);
  const port = await behindX224(t, gateway.port);
  const { child, text } = openssl(t, 's_client', '-connect', `127.0.0.1:${port}`, '-tls1_2');
  await eventually('TLS', () => text().includes('Secure Renegotiation IS supported'));
  child.stdin.write('R\n');
  await eventually('a refusal', () => /no renegotiation|no_renegotiation|handshake failure/i.test(text()));
  child.stdin.end();
  // The gateway goes on.
  await (await connectClient({ port: gateway.port, cookie: 'a' })).close();
});

test('a target may not either (openssl s_server, r)', async (t) => {
  const { key, cert } = await makeCertificate();
  const { mkdtempSync, writeFileSync, rmSync } = await import('node:fs');
  const directory = mkdtempSync('/tmp/door-');
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(`${directory}/key.pem`, key);
  writeFileSync(`${directory}/cert.pem`, cert);
  const free = await listening(t, (socket) => socket.destroy());
  const serverPort = free + (free < 60_000 ? 1 : -1);
  const { child, text } = openssl(
    t,
    's_server',
    ...[
      '-accept',
      `127.0.0.1:${serverPort}`,
      '-key',
      `${directory}/key.pem`,
      '-cert',
      `${directory}/cert.pem`,
      '-tls1_2',
    ],
  );
  await eventually('a server', () => text().includes('ACCEPT'));
  const targetPort = await listening(t, (rdpSide) => {
    rdpSide.once('data', () => {
      rdpSide.write(confirm);
      const tlsSide = connect(serverPort, '127.0.0.1').on('error', () => {});
      rdpSide.pipe(tlsSide).pipe(rdpSide);
    });
  });
  const gateway = await gatewayTo(t, targetPort);
  const client = await secured(gateway.port);
  client.write(connectInitial());
  await gateway.reported('started');
  child.stdin.write('r\n');
  await eventually('a refusal', () => /no renegotiation/i.test(text()));
});

/** A client that is not let in, to its end. */
const ended = async (port: number, cookie = 'a'): Promise<unknown> =>
  connectClient({ port, cookie }).then(
    (client) => client.ended,
    () => {},
  );

/** A TLS connection to the gateway, after X.224. */
async function secured(port: number, options: object = {}): Promise<TLSSocket> {
  const raw = connect(port, '127.0.0.1').on('error', () => {});
  raw.write(request);
  await once(raw, 'data');
  const tls = connectTls({ socket: raw, rejectUnauthorized: false, ...options });
  await new Promise<void>((resolve, reject) => tls.once('secureConnect', resolve).once('error', reject));
  return tls.on('error', () => {});
}

function connectInitial(): Uint8Array {
  const connector = new Connector({ desktopWidth: 800, desktopHeight: 600 });
  connector.start();
  connector.step(confirm);
  return connector.tlsEstablished().output;
}

for (const [what, options] of [
  ['a suite without forward secrecy', { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' }],
  ['a CBC suite', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256' }],
  ['TLS 1.1', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }],
] as const)
  test(`a client with nothing but ${what} is not taken`, async (t) => {
    const gateway = await gatewayTo(t, (await desktop(t)).port);
    await assert.rejects(secured(gateway.port, options));
    const { reason, message } = await gateway.attempted();
    assert.equal(reason, 'client_tls_failed');
    assert.doesNotMatch(message, /SSL routines|error:|\.c:/);
  });

for (const [what, options, problem] of [
  ['TLS 1.0', { minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'ALL:@SECLEVEL=0' }, /only old versions of TLS/],
  ['RSA key exchange', { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' }, /no cipher suite both sides allow/],
  ['CBC', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES256-SHA' }, /no cipher suite both sides allow/],
] as const)
  test(`a target with nothing but ${what} is refused, unless legacy_tls allows it, which is recorded`, async (t) => {
    const port = await tlsTarget(t, { ...options, honorCipherOrder: true });
    const strict = await gatewayTo(t, port);
    await ended(strict.port);
    const { reason, message } = await strict.attempted();
    assert.equal(reason, 'target_tls_failed');
    assert.match(message, problem);
    assert.doesNotMatch(message, /SSL routines|error:|\.c:|ERR_/);
    const lenient = await gatewayTo(t, port, { legacyTls: true });
    const client = await secured(lenient.port);
    client.write(connectInitial());
    await lenient.reported('started');
    client.destroy();
    await lenient.reported('drained');
    const facts = lenient.reports.flatMap((report) => (report.kind === 'fact' ? [report.fact] : []));
    assert.ok(facts.some((fact) => fact.kind === 'downgrade' && /legacy_tls\): TLSv1/.test(fact.what)));
    assert.ok(lenient.notes().some((note) => note.type === 'downgrade' && /legacy_tls/.test(note.what)));
  });

test('version and suite of both sides are recorded', async (t) => {
  const gateway = await gatewayTo(t, (await desktop(t)).port);
  const client = await connectClient({ port: gateway.port, cookie: 'a' });
  await client.close();
  await gateway.reported('drained');
  const notes = gateway.notes();
  const tls = notes.flatMap((note) =>
    note.type === 'connected' || note.type === 'target_certificate' ? [note.tls ?? ''] : [],
  );
  assert.equal(tls.length, 2);
  for (const name of tls) assert.match(name, /^TLSv1\.3 TLS_AES_128_GCM_SHA256$/);
  assert.equal(
    notes.some((note) => note.type === 'downgrade'),
    false,
  );
});

/** A client's own TLS over bytes that are cut and merged on their way; the confirm it waits for is given at once. */
class Reshaped extends Duplex {
  readonly #raw: Socket;
  readonly #sizes: readonly number[];
  #held: Buffer[] = [];
  #skip = confirm.length;
  #i = 0;

  constructor(raw: Socket, first: Buffer, sizes: readonly number[]) {
    super();
    this.#raw = raw;
    this.#sizes = sizes;
    this.#held.push(first);
    raw.on('data', (bytes: Buffer) => {
      const rest = bytes.subarray(Math.min(bytes.length, this.#skip));
      this.#skip -= bytes.length - rest.length;
      if (rest.length > 0) this.push(rest);
    });
    raw.on('close', () => this.push(null));
  }

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    this.#held.push(bytes);
    const whole = Buffer.concat(this.#held);
    this.#held = [];
    const send = (at: number): void => {
      if (at >= whole.length) {
        done();
        return;
      }
      const size = this.#sizes[this.#i++ % this.#sizes.length]!;
      this.#raw.write(whole.subarray(at, at + size));
      // Once round the loop, so that pieces arrive as such.
      setImmediate(send, at + size);
    };
    send(0);
  }
}

test('the start of TLS may come with the request, and anything may be cut anywhere', async (t) => {
  const target = await desktop(t);
  let sessions = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1, maxLength: 8 }), async (sizes) => {
      sessions += 1;
      const gateway = await gatewayTo(t, target.port);
      const raw = connect({ port: gateway.port, host: '127.0.0.1', noDelay: true }).on('error', () => {});
      const tls = connectTls({ socket: new Reshaped(raw, request, sizes), rejectUnauthorized: false });
      tls.on('error', () => {});
      await once(tls, 'secureConnect');
      tls.write(connectInitial());
      const started = await gateway.reported('started');
      assert.equal(started.sessionId, 'session-1');
      raw.destroy();
      await gateway.recorder.dispose(0);
    }),
    { numRuns: 15 },
  );
  assert.equal(sessions, 15);
});

test('two thousand silent connections of one address keep nobody else out', async (t) => {
  const gateway = await gatewayTo(t, (await desktop(t)).port);
  const silent = Array.from({ length: 2000 }, () =>
    connect({ port: gateway.port, host: '127.0.0.1' }).on('error', () => {}),
  );
  t.after(() => {
    for (const socket of silent) socket.destroy();
  });
  await eventually('all tried', () => silent.every((socket) => socket.readyState !== 'opening'));
  const begun = performance.now();
  const other = connect({ port: gateway.port, host: '127.0.0.1', localAddress: '127.0.0.2' });
  other.write(request);
  const [answer] = (await once(other, 'data')) as [Buffer];
  assert.equal(answer.length, confirm.length);
  t.diagnostic(`answered after ${Math.round(performance.now() - begun)} ms`);
  other.destroy();
  await eventually('them closed', () => silent.filter((socket) => !socket.destroyed).length <= 200);
  const { details } = await gateway.recorder.port.health();
  assert.ok(Number(details.connectionsOverLimit) >= 1800);
  const limited = gateway.attempts.filter(({ reason }) => reason === 'rate_limited');
  assert.equal(limited.filter(({ count }) => count > 0).length, 1);
  assert.equal(gateway.lines.filter((line) => line.includes('127.0.0.1')).length, 1);
});

test('a session that ends over the very first bytes is not kept as running', async (t) => {
  const gateway = await gatewayTo(t, (await desktop(t)).port);
  const client = await secured(gateway.port);
  client.write(Buffer.concat([connectInitial(), Buffer.from('[nothing of RDP')]));
  assert.equal((await gateway.reported('ended')).reason, 'protocol_violation');
  assert.deepEqual((await gateway.recorder.port.live()).sessions, []);
  assert.match(gateway.lines[0] ?? '', /session-1 connected/);
  assert.match(gateway.lines[1] ?? '', /session-1 ended/);
});

const anyBytes = fc.uint8Array({ minLength: 1, maxLength: 600 });
/** What a hostile client does, in order. */
const anyDeed = fc.oneof(
  fc.record({ do: fc.constant('send' as const), bytes: anyBytes }),
  fc.record({ do: fc.constant('hello' as const), keep: fc.integer({ min: 1, max: request.length }), bytes: anyBytes }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.nat(60) }),
  fc.record({ do: fc.constant('tls' as const) }),
  fc.record({ do: fc.constant('initial' as const), keep: fc.nat(500), bytes: anyBytes }),
  fc.record({ do: fc.constant('end' as const) }),
  fc.record({ do: fc.constant('reset' as const) }),
);

async function misbehave(port: number, deeds: readonly (typeof anyDeed extends fc.Arbitrary<infer D> ? D : never)[]) {
  const raw = connect({ port, host: '127.0.0.1', noDelay: true }).on('error', () => {});
  const gone = new Promise((resolve) => raw.once('close', resolve));
  let stream: Socket = raw;
  raw.resume();
  await Promise.race([new Promise((resolve) => raw.once('connect', resolve)), gone]);
  for (const deed of deeds) {
    if (raw.destroyed || stream.destroyed || stream.writableEnded) break;
    if (deed.do === 'send') stream.write(deed.bytes);
    else if (deed.do === 'hello')
      stream.write(Buffer.concat([request.subarray(0, deed.keep), deed.bytes.subarray(100)]));
    else if (deed.do === 'initial') stream.write(Buffer.concat([connectInitial().subarray(0, deed.keep), deed.bytes]));
    else if (deed.do === 'end') stream.end();
    else if (deed.do === 'reset') raw.resetAndDestroy();
    else if (deed.do === 'wait') await new Promise((resolve) => setTimeout(resolve, deed.ms));
    else if (stream === raw) {
      raw.write(request);
      await Promise.race([new Promise((resolve) => raw.once('data', resolve)), gone]);
      stream = connectTls({ socket: raw, rejectUnauthorized: false }).on('error', () => {});
      await Promise.race([new Promise((resolve) => stream.once('secureConnect', resolve)), gone]);
      stream.resume();
    }
  }
  await gone;
}

test('whatever clients and targets do, it ends in time and the gateway goes on', async (t) => {
  const good = await desktop(t);
  const badAnswers = fc.sample(anyBytes, 50);
  let answered = 0;
  const badPort = await listening(t, (socket) => {
    const answer = badAnswers[answered++ % badAnswers.length]!;
    socket.once('data', () => socket.write(answered % 2 === 0 ? answer : Buffer.concat([confirm, answer])));
  });
  let asked = 0;
  const gateway = await startGateway(t, {
    admit: ({ kind }) => {
      asked += 1;
      const port = kind === 'listener' || asked % 3 === 0 ? badPort : good.port;
      return { admitted: true, ticket: ticketFor(port, { sessionId: `session-${asked}` }) };
    },
    config: { handshakeMs: 400, activationMs: 200, sessionsMax: 200 },
  });
  const before = process.memoryUsage.rss();
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(anyDeed, { maxLength: 6 }), { minLength: 10, maxLength: 30 }),
      async (clients) => {
        await Promise.all(clients.map((deeds) => misbehave(gateway.port, deeds)));
      },
    ),
    { numRuns: 8, endOnFailure: true },
  );
  await eventually('all gone', async () => (await gateway.recorder.port.health()).details.connectionsWaiting === 0);
  await eventually('no sessions', async () => (await gateway.recorder.port.live()).sessions.length === 0);
  t.diagnostic(`${asked} asked for a session; memory +${Math.round((process.memoryUsage.rss() - before) / 1e6)} MB`);
  assert.deepEqual(
    gateway.problems.filter((problem) => !/recorder is being/.test(problem)),
    [],
  );
  await eventually('a session', async () => {
    const { ended } = await connectClient({ port: gateway.port, cookie: 'a', timeoutMs: 5000 }).catch(() => ({
      ended: null,
    }));
    return ended !== null;
  });
});

test('the address is judged after resolving, that very address is dialled, and others are tried in order', async (t) => {
  const { port } = await desktop(t);
  const names: Record<string, string[]> = {
    'two.example': ['127.0.0.9', '127.0.0.1'],
    'bad.example': ['169.254.169.254', '127.0.0.1'],
    'worse.example': ['169.254.169.254', '::ffff:169.254.1.1'],
    'none.example': [],
  };
  const asked: string[] = [];
  const gateway = await startGateway(t, {
    admit: (route) => {
      const ticket = ticketFor(port, { sessionId: route.kind === 'cookie' ? route.name : '' });
      return { admitted: true, ticket: { ...ticket, target: { ...ticket.target, host: ticket.sessionId } } };
    },
    deps: {
      resolve: async (host) => {
        asked.push(host);
        const found = names[host];
        if (found === undefined) throw Object.assign(new Error('queryA ENOTFOUND'), { code: 'ENOTFOUND' });
        return found;
      },
    },
  });
  for (const cookie of ['two.example', 'bad.example']) {
    await (await connectClient({ port: gateway.port, cookie })).close();
    const connected = gateway.reports.findLast((report) => report.kind === 'started');
    assert.equal(connected?.kind === 'started' && connected.targetAddress, `127.0.0.1:${port}`);
  }
  for (const cookie of ['worse.example', 'none.example', 'unknown.example']) await ended(gateway.port, cookie);
  assert.deepEqual(asked, ['two.example', 'bad.example', 'worse.example', 'none.example', 'unknown.example']);
  // Whatever is wrong, session and audit read the same; the operator's log has the rest.
  const failed = gateway.attempts.filter(({ count }) => count > 0);
  assert.deepEqual(new Set(failed.map(({ reason }) => reason)), new Set(['target_unreachable']));
  for (const { message } of failed) assert.match(message, /^the target [a-z]+\.example:\d+ can't be reached by RDP$/);
  const log = gateway.lines.join('\n');
  assert.match(log, /\[169\.254\.169\.254: a link-local address; RDP_TARGETS_ALLOW must name it/);
});

test('a name is resolved once for each connection: what it leads to later is not asked, and not dialled', async (t) => {
  const { port } = await desktop(t);
  let asked = 0;
  const gateway = await startGateway(t, {
    admit: () => {
      const ticket = ticketFor(port);
      return { admitted: true, ticket: { ...ticket, target: { ...ticket.target, host: 'turns.example' } } };
    },
    // Good for who checks, bad for who asks again.
    deps: {
      resolve: async () => {
        asked += 1;
        return [asked === 1 ? '127.0.0.1' : '169.254.169.254'];
      },
    },
  });
  await (await connectClient({ port: gateway.port, cookie: 'a' })).close();
  const { targetAddress } = await gateway.reported('started');
  assert.deepEqual([asked, targetAddress], [1, `127.0.0.1:${port}`]);
  // Until the first one's chunks are stored, a second client of the session is refused before anything is resolved.
  await eventually('another resolution', async () => {
    await ended(gateway.port, 'x');
    return asked === 2;
  });
  assert.match(gateway.lines.join('\n'), /\[169\.254\.169\.254: a link-local address/);
});

test("the gateway's own ports are no targets, on whatever address of this machine they are asked for", async (t) => {
  const gateway = await startGateway(t, { admit: () => ({ admitted: true, ticket: ticketFor(1) }) });
  const own = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
  const hosts = ['127.0.0.1', '127.9.9.9', '0.0.0.0', '0', '::', '::1', '::ffff:127.0.0.1', 'localhost', ...own];
  for (const host of hosts) {
    const { port } = gateway.recorder;
    assert.deepEqual(await port.judgeTarget({ host, port: gateway.port }), { open: false }, host);
  }
  const line = `a session may not lead to 127.0.0.1:${gateway.port} [a port of the gateway itself`;
  assert.ok(gateway.lines[0]?.startsWith(line), gateway.lines[0]);
});

test('probes of every kind leave no session, no line each and nothing to be stored', async (t) => {
  const target = await desktop(t);
  const rule = `127.0.0.1:${target.port}`;
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: true, ticket: ticketFor(target.port) }),
    config: { listeners: [{ host: '127.0.0.1', port: 0, target: rule }] },
  });
  const probe = async (act: (socket: Socket) => unknown): Promise<void> => {
    const socket = connect(gateway.port, '127.0.0.1').on('error', () => {});
    await once(socket, 'connect');
    await act(socket);
    socket.destroy();
  };
  for (let i = 0; i < 5; i += 1) {
    await probe(() => {});
    await probe(async (socket) => {
      socket.write('GET / HTTP/1.0\r\n\r\n');
      await once(socket.resume(), 'close');
    });
    await probe(async (socket) => {
      socket.write(request);
      await once(socket, 'data');
    });
    const tls = await secured(gateway.port);
    // The gateway has finished TLS too when its tickets come.
    await once(tls.resume(), 'session');
    tls.destroy();
  }
  const { port } = gateway.recorder;
  await eventually('all counted', async () => {
    const { details } = await port.health();
    const counts = ['tcp', 'garbage', 'x224', 'tls'].map((kind) => details[`probes_${kind}`]);
    return counts.every((count) => count === 5) && details.connectionsWaiting === 0;
  });
  assert.deepEqual(gateway.reports, []);
  assert.equal(gateway.chunks.length, 0);
  // Nothing that would be audited: they only release what was reserved for them.
  assert.deepEqual(new Set(gateway.attempts.map(({ count }) => count)), new Set([0]));
  assert.equal(gateway.lines.length, 0);
  assert.equal(gateway.problems.length, 0);
  await (await connectClient({ port: gateway.port })).close();
  await gateway.reported('drained');
  const sessionLines = gateway.lines.map((line) => line.replace(/:\d+/g, ':n').replace(/after \d+ s/, 'after n s'));
  assert.deepEqual(sessionLines, [
    'session session-1 connected: 127.0.0.1:n to 127.0.0.1:n',
    'session session-1 ended after n s: client_disconnected, the client disconnected',
  ]);
});
