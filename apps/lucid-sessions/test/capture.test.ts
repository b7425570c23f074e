/** Captured RDP connections, decrypted: what comes out is what the two ends said, however it was cut, repeated and mixed. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as connectTls, createServer as createTlsServer, type SecureVersion } from 'node:tls';
import { makeCertificate } from '@lucid-sessions/desktop';
import { frameKinds } from '@lucid-sessions/recording';
import { SessionIndexer } from '@lucid-sessions/recording/session-index';
import { captureStreams, readCapture, temporaryDirectory } from '@lucid-sessions/testkit';
import * as fc from 'fast-check';
import { CaptureError, readPacketFile } from '../src/capture/packet-file.ts';
import { type RdpConnection, rdpConnectionsOf } from '../src/capture/rdp-connections.ts';
import { redactedReport } from '../src/capture/redacted-report.ts';
import { addSecrets, noSecrets } from '../src/capture/tls-keys.ts';
import { runCli } from './support/cli.ts';
import { type CapturedPacket, packetsOf, pcapngOf, pcapOf, type SentPiece } from './support/packet-writer.ts';

const captures = join(import.meta.dirname, '../../../testkit/captures');
const request = Buffer.from('030000130ee000000000000100080003000000', 'hex');
const confirm = Buffer.from('030000130ed000001234000200080001000000', 'hex');
const clientSays = Buffer.from('from the client '.repeat(3000));
const serverSays = Buffer.from('from the server, more of it '.repeat(3000));

interface Said {
  pieces: SentPiece[];
  keyLog: string;
  rsaKey: string;
}

interface Way {
  version: SecureVersion;
  ciphers: string;
  key?: 'rsa' | 'ec';
}

const listening = async (server: ReturnType<typeof createServer>): Promise<number> => {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
};

/** Real TLS between Node's two ends through a relay that keeps what passes; twice where the second resumes the first. */
async function talk(t: TestContext, { version, ciphers }: Way, connections = 1): Promise<Said[]> {
  const { key, cert } = await makeCertificate('capture');
  // TLS 1.3 suites alone are no cipher list to Node.
  const list = version === 'TLSv1.3' ? `${ciphers}:ECDHE-RSA-AES128-GCM-SHA256` : `${ciphers}:@SECLEVEL=0`;
  const options = { key, cert, minVersion: version, maxVersion: version, ciphers: list };
  const server = createTlsServer(options, (socket) => {
    let received = 0;
    socket
      .on('error', () => {})
      .on('data', (bytes: Buffer) => {
        received += bytes.length;
        if (received === clientSays.length) socket.end(serverSays);
      });
  });
  const serverPort = await listening(server);
  const said: Said[] = [];
  const relay = createServer((near: Socket) => {
    const far = connectTcp(serverPort, '127.0.0.1');
    const { pieces } = said.at(-1) as Said;
    near
      .on('data', (bytes: Buffer) => void pieces.push({ fromServer: false, bytes }))
      .pipe(far)
      .on('error', () => {});
    far
      .on('data', (bytes: Buffer) => void pieces.push({ fromServer: true, bytes }))
      .pipe(near)
      .on('error', () => {});
  });
  const port = await listening(relay);
  t.after(() => {
    relay.close();
    server.close();
  });
  let session: Buffer | undefined;
  for (let i = 0; i < connections; i += 1) {
    const current: Said = {
      pieces: [
        { fromServer: false, bytes: request },
        { fromServer: true, bytes: confirm },
      ],
      keyLog: '',
      rsaKey: String(key),
    };
    said.push(current);
    const client = connectTls({
      ...options,
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ...(session ? { session } : {}),
    });
    client.on('keylog', (line: Buffer) => {
      current.keyLog += line.toString();
    });
    client.on('session', (ticket: Buffer) => {
      session = ticket;
    });
    await once(client, 'secureConnect');
    client.write(clientSays);
    client.resume();
    await once(client, 'close');
  }
  return said;
}

const read = (file: Buffer, ...secrets: string[]): RdpConnection[] => {
  const packetFile = readPacketFile(file);
  const all = noSecrets();
  for (const text of [packetFile.keyLog, ...secrets]) addSecrets(all, text);
  return rdpConnectionsOf(packetFile, all).connections;
};

function assertSaid(connection: RdpConnection | undefined): void {
  assert.ok(connection !== undefined);
  assert.equal(connection.problem, null);
  const of = (fromServer: boolean, beforeTls: boolean): Buffer =>
    Buffer.concat(
      connection.pieces
        .filter((piece) => piece.fromServer === fromServer && piece.beforeTls === beforeTls)
        .map(({ bytes }) => bytes),
    );
  assert.deepEqual([of(false, true), of(true, true)], [request, confirm]);
  assert.ok(of(false, false).equals(clientSays) && of(true, false).equals(serverSays));
}

const ways: (Way & { rsa?: true })[] = [
  { version: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' },
  { version: 'TLSv1.3', ciphers: 'TLS_AES_256_GCM_SHA384' },
  { version: 'TLSv1.3', ciphers: 'TLS_CHACHA20_POLY1305_SHA256' },
  { version: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES256-GCM-SHA384' },
  { version: 'TLSv1.2', ciphers: 'ECDHE-RSA-CHACHA20-POLY1305' },
  { version: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-SHA256' },
  { version: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES256-SHA384' },
  { version: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256', rsa: true },
  { version: 'TLSv1.2', ciphers: 'AES256-SHA256', rsa: true },
  { version: 'TLSv1.1', ciphers: 'AES128-SHA', rsa: true },
  { version: 'TLSv1', ciphers: 'AES256-SHA', rsa: true },
];

for (const way of ways)
  test(`${way.version} ${way.ciphers}: opened by key log${way.rsa ? ' and by the RSA key' : ''}, resumed too`, async (t) => {
    const said = await talk(t, way, 2);
    const files = said.map(({ pieces }, i) => packetsOf(pieces, { clientPort: 50_000 + i }));
    const both = pcapngOf(files.flat(), said.map(({ keyLog }) => keyLog).join(''));
    const connections = read(both);
    assert.equal(connections.length, 2);
    for (const connection of connections) assertSaid(connection);
    // A ticket hides the session of a resumed connection from whoever has the RSA key alone.
    if (way.rsa) assertSaid(read(pcapOf(files[0]!), said[0]!.rsaKey)[0]);
  });

test('in any order, twice, in small pieces, with wrapping numbers, over IPv6 and VLANs', async (t) => {
  const [said] = await talk(t, { version: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' });
  const { pieces, keyLog } = said!;
  fc.assert(
    fc.property(
      fc.integer({ min: 60, max: 3000 }),
      fc.nat(0xffffffff),
      fc.boolean(),
      fc.boolean(),
      fc.infiniteStream(fc.nat(7)),
      (segmentBytes, firstSequence, ipv6, vlan, dice) => {
        const packets = packetsOf(pieces, { segmentBytes, firstSequence, ipv6, vlan });
        const mixed: CapturedPacket[] = packets.slice(0, 2);
        for (const packet of packets.slice(2)) {
          const throwOf = dice.next().value as number;
          // Some overtake the one before them, some were captured twice.
          const last = mixed.at(-1);
          if (throwOf === 0 && last?.fromServer === packet.fromServer) mixed.splice(-1, 0, packet);
          else mixed.push(packet);
          if (throwOf === 1) mixed.push(packet);
        }
        assertSaid(read(pcapngOf(mixed, keyLog, !vlan))[0]);
      },
    ),
    { numRuns: 30 },
  );
});

test('what is missing is said: a packet, its end, the keys, the beginning', async (t) => {
  const [said] = await talk(t, { version: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' });
  const { pieces, keyLog } = said!;
  const packets = packetsOf(pieces);
  for (let at = 20; at < packets.length - 2; at += 7) {
    const hole = read(pcapngOf(packets.toSpliced(at, 1), keyLog))[0];
    assert.match(hole?.problem ?? '', /bytes were not captured/);
    assert.ok((hole?.pieces.length ?? 0) > 3);
  }
  assert.match(read(pcapngOf(packets))[0]?.problem ?? '', /the key log has no secret of this connection/);
  assert.match(read(pcapOf(packets, 600), keyLog)[0]?.problem ?? '', /bytes were not captured/);
  assert.deepEqual(read(pcapngOf(packets.slice(4), keyLog)), []);
  const wrong = keyLog.replace(/[0-9a-f]{96}/, 'ab'.repeat(48));
  assert.match(read(pcapngOf(packets, wrong))[0]?.problem ?? '', /does not open with the keys given/);
});

test('other protocols, refusals and standard RDP security are told apart', () => {
  const failure = Buffer.from('030000130ed000001234000300080005000000', 'hex');
  const plain = Buffer.from('0300000b06d00000123400', 'hex');
  const file = pcapngOf([
    ...packetsOf([{ fromServer: false, bytes: Buffer.from('GET / HTTP/1.1\r\n\r\n') }], { clientPort: 1 }),
    ...packetsOf(
      [
        { fromServer: false, bytes: request },
        { fromServer: true, bytes: failure },
      ],
      { clientPort: 2 },
    ),
    ...packetsOf(
      [
        { fromServer: false, bytes: request },
        { fromServer: true, bytes: plain },
      ],
      { clientPort: 3 },
    ),
    ...packetsOf(
      [
        { fromServer: false, bytes: request },
        { fromServer: true, bytes: clientSays },
      ],
      { clientPort: 4 },
    ),
  ]);
  const found = rdpConnectionsOf(readPacketFile(file), noSecrets());
  assert.equal(found.skipped['TCP connections of other protocols'], 1);
  assert.deepEqual(
    found.connections.map(({ problem }) => problem),
    [null, 'it uses standard RDP security, which is not read', 'its first PDU is too long for an X.224 hello'],
  );
});

test('files that are no captures, and random damage, end in words', async (t) => {
  for (const bytes of [Buffer.alloc(0), Buffer.from('not a capture, but some text'), Buffer.alloc(100)])
    assert.throws(() => readPacketFile(bytes), CaptureError);
  assert.throws(() => addSecrets(noSecrets(), 'hello\n'), /no line of the form/);
  assert.throws(() => addSecrets(noSecrets(), '-----BEGIN PRIVATE KEY-----\n'), /no private key/);
  const [said] = await talk(t, { version: 'TLSv1.2', ciphers: 'AES128-SHA' });
  const file = pcapngOf(packetsOf(said!.pieces.slice(0, 8)), said!.keyLog);
  fc.assert(
    fc.property(fc.nat(file.length - 1), fc.nat(255), fc.nat(file.length), (at, value, end) => {
      const damaged = Buffer.from(file.subarray(0, end));
      if (at < damaged.length) damaged[at] = value;
      try {
        read(damaged);
      } catch (error) {
        if (!(error instanceof CaptureError)) throw error;
      }
    }),
    { numRuns: 500 },
  );
});

test('the report of a connection holds kinds and counts, nothing that was typed, copied or named', () => {
  for (const name of ['xorg-clip-drive', 'xorg-rdesktop-drive', 'shadow-default']) {
    const { records } = readCapture(join(captures, `${name}.rdpcap.gz`));
    const pieces = records.map(({ timeMs, ...record }) => ({ ...record, timeUs: timeMs * 1000 }));
    const connection = { client: 'a', server: 'b', tlsVersion: 0x0304, cipherSuite: 0x1301, pieces, problem: null };
    const report = redactedReport(connection);
    assert.deepEqual(report.malformed, {});
    assert.ok((report.pdus['client clientInfo'] ?? 0) === 1 && report.channels.includes('cliprdr'));
    if (name === 'shadow-default') assert.ok((report.graphics.codecs.avc444v2 ?? 0) > 0);
    const indexer = new SessionIndexer();
    for (const { fromServer, bytes } of records)
      indexer.push({ kind: frameKinds.pdu, flags: fromServer ? 1 : 0, channelId: 0, timeUs: 0, body: bytes });
    const texts: string[] = [];
    const collect = (value: unknown): void => {
      if (typeof value === 'string' && value.length >= 6 && / |[._-]/.test(value)) texts.push(value);
      else if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) collect(inner);
    };
    for (const event of indexer.take(0, true).events)
      if (['typed', 'clipboard', 'file', 'logon'].includes(event.kind)) collect(event);
    const json = JSON.stringify(report);
    for (const text of texts) assert.equal(json.includes(JSON.stringify(text).slice(1, -1)), false, text);
  }
});

test('import writes what it read as a capture file, once, and chooses only when told', async (t) => {
  const directory = temporaryDirectory('import');
  const said = await talk(t, { version: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' }, 2);
  const files = said.map(({ pieces }, i) => packetsOf(pieces, { clientPort: 50_000 + i }));
  const [pcap, keys, out] = ['two.pcap', 'keys.log', 'one.rdpcap'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(pcap, pcapOf(files.flat()));
  writeFileSync(keys, said.map(({ keyLog }) => keyLog).join(''));
  const undecided = await runCli(['import', pcap, '--keylog', keys, '--rdpcap', out]);
  assert.equal(undecided.code, 2);
  assert.match(undecided.stderr, /there are 2 connections: choose one with --connection/);
  const done = await runCli(['--json', 'import', pcap, '--keylog', keys, '--rdpcap', out, '--connection', '2']);
  assert.equal(done.code, 0, done.stderr);
  assert.equal((JSON.parse(done.stdout) as { connections: unknown[] }).connections.length, 2);
  const { client, server } = captureStreams(readCapture(out));
  assert.ok(Buffer.concat([request, clientSays]).equals(client) && Buffer.concat([confirm, serverSays]).equals(server));
  assert.equal(statSync(out).mode & 0o777, 0o600);
  assert.match(
    (await runCli(['import', pcap, '--keylog', keys, '--rdpcap', out, '--connection', '2'])).stderr,
    /is there already/,
  );
  assert.match((await runCli(['import', keys])).stderr, /not a pcapng or pcap file/);
});
