/** Captures of real RDP connections become recordings that play, are searched and verified, and say everywhere what they are. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ImportedFrom } from '@lucid-sessions/contract';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { temporaryDirectory } from '@lucid-sessions/testkit';
import { Output } from '../src/cli/output.ts';
import { type ImportOptions, importCapture } from '../src/commands/import.ts';
import { runPicture } from '../src/commands/recording-output.ts';
import { listSessions } from '../src/commands/session-list.ts';
import { type SessionAnswer, showSession } from '../src/commands/sessions.ts';
import { makeToken } from '../src/commands/token.ts';
import { signingSecret } from '../src/server/admin-token.ts';
import { type Gateway, readRecording, startGateway, verifySession } from './support/gateway.ts';
import { packetsOf, pcapngOf, type SentPiece } from './support/packet-writer.ts';
import { RawClient } from './support/raw-client.ts';

interface Talk {
  pieces: SentPiece[];
  keyLog: string;
}

/** A client at a desktop, seen from the wire between them. */
async function talk(t: TestContext, typed: string): Promise<Talk> {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const said: Talk = { pieces: [], keyLog: '' };
  const wire = createServer((near) => {
    const far = connect(desktop.port, '127.0.0.1');
    for (const [from, to, fromServer] of [
      [near, far, false],
      [far, near, true],
    ] as const)
      from
        .on('error', () => {})
        .on('data', (bytes: Buffer) => void said.pieces.push({ fromServer, bytes }))
        .pipe(to);
  });
  await once(wire.listen(0, '127.0.0.1'), 'listening');
  t.after(() => wire.close());
  const { port } = wire.address() as AddressInfo;
  const onKeyLog = (line: string): void => {
    said.keyLog += line;
  };
  const client = await connectClient({ port, userName: 'carol', password: 'tr0ub4dor&3', onKeyLog });
  await client.type(`${typed}\n`);
  await client.settled();
  await client.close();
  return said;
}

interface Run {
  code: number;
  text: string;
  sessions: SessionAnswer[];
}

/** The command as the command line runs it. */
async function run(api: RawClient, path: string, options: Partial<ImportOptions> = {}): Promise<Run> {
  const parts: string[] = [];
  const stdout = { write: (text: string) => parts.push(text) };
  const silent = new Output({ stdout, stderr: { write: () => {} } }, true);
  const code = await importCapture(silent, path, { keylog: [], ...options }, () => api);
  const text = parts.join('');
  const { imported = [] } = JSON.parse(text) as { imported?: { session: SessionAnswer }[] };
  return { code, text, sessions: imported.map(({ session }) => session) };
}

const temporary = (): string => {
  const directory = temporaryDirectory('import');
  return directory;
};

type Events = { events: { kind: string; text?: string | null }[] };
type Audit = { events: { event_type: string; user_id: string | null; details: Record<string, unknown> }[] };

async function audited({ api }: Gateway, id: string): Promise<Audit['events']> {
  return (await api.json<Audit>('GET', `/audit?resource_id=${id}&limit=200`)).events;
}

test('each connection of a packet capture becomes a recording that is found, opened, and never taken for one', async (t) => {
  const gateway = await startGateway(t, { LUCID_RATE_LIMIT_STATISTICS: '1000', LUCID_RETENTION_DAYS_DEFAULT: '30' });
  const { api } = gateway;
  const [first, second] = [await talk(t, 'the first was here'), await talk(t, 'and so was the second')];
  const file = join(temporary(), 'office.pcapng');
  const packets = [first, second].map(({ pieces }, i) => packetsOf(pieces, { clientPort: 50_000 + i }));
  writeFileSync(file, pcapngOf(packets.flat(), first.keyLog + second.keyLog));
  const { code, sessions } = await run(api, file, { project: 'support', retention: null });
  assert.equal(code, 0);
  assert.deepEqual(
    sessions.map(({ storage_config: { retention_days: days } }) => days),
    [null, null],
  );
  assert.deepEqual(
    sessions.map(({ name, status, outcome }) => [name, status, outcome]),
    [1, 2].map((number) => [`office.pcapng, connection ${number}`, 'completed', 'whole']),
  );
  for (const [at, text] of ['the first was here', 'and so was the second'].entries()) {
    const { session_id: id, ...session } = sessions[at]!;
    const imported = session.imported as ImportedFrom;
    assert.equal(imported.source_sha256, createHash('sha256').update(readFileSync(file)).digest('hex'));
    assert.deepEqual([imported.by, imported.source_name], ['admin', 'office.pcapng']);
    assert.deepEqual([imported.client, imported.server], [`10.0.0.1:${50_000 + at}`, '10.0.0.2:3389']);
    assert.deepEqual([session.rdp_config.host, session.rdp_config.port], ['10.0.0.2', 3389]);
    assert.equal(imported.captured_from?.slice(0, 10), '2023-11-14');
    assert.match(session.client_user ?? '', /carol/);

    // Indexed, and the password is in no frame.
    const found = await api.json<Events>(
      'GET',
      `/sessions/${id}/events?search=${encodeURIComponent(text)}&inputs=true`,
    );
    assert.equal(found.events[0]?.text, text);
    const frames = await readRecording(gateway, id);
    for (const { body } of frames)
      assert.equal(Buffer.from(body).includes(Buffer.from('tr0ub4dor&3', 'utf16le')), false);

    const report = await verifySession(gateway, id);
    assert.deepEqual(
      report.findings.map(({ code }) => code),
      ['IMPORTED'],
    );
    const { integrity, origin, time } = report.verdicts;
    assert.deepEqual([integrity, origin, time], ['intact', 'imported', 'imported']);
    assert.equal(report.facts.imported?.source_sha256, imported.source_sha256);

    const events = await audited(gateway, id);
    const told = events.find(({ event_type }) => event_type === 'session_imported');
    assert.equal(told?.user_id, 'admin');
    assert.equal(told?.details.source_sha256, imported.source_sha256);
    assert.equal(told?.details.capture_sha256, imported.capture_sha256);
    const kinds = new Set(events.map(({ event_type }) => event_type));
    assert.ok(kinds.has('import_ended') && !kinds.has('connection_started') && !kinds.has('connection_ended'));
  }
  const id = sessions[0]!.session_id;
  const out = join(temporary(), 'it.png');
  const parts: string[] = [];
  const stdout = { write: (text: string) => parts.push(text) };
  const said = new Output({ stdout, stderr: { write: () => {} } }, false);
  await runPicture(id, { api: () => api, out, pointer: true, at: Number.POSITIVE_INFINITY }, said);
  assert.match(parts.join(''), /IMPORTED: nothing is proven/);
  assert.ok(readFileSync(out).length > 0);
  await showSession(api, said, id);
  await listSessions(api, said, { limit: 10, offset: 0, every: 2 });
  assert.match(parts.join(''), /IMPORTED +by admin from office\.pcapng/);
  assert.match(parts.join(''), /completed \(imported\b/);
  const list = await api.json<{ sessions: SessionAnswer[] }>('GET', '/sessions');
  assert.ok(list.sessions.every(({ imported }) => imported !== null));
});

test('who may not import is refused before the file is read; what is wrong with it is said, and nothing is left', async (t) => {
  const gateway = await startGateway(t);
  const { api, lucid } = gateway;
  const secret = signingSecret(lucid.directory, {})!;
  const url = lucid.addresses.api ?? '';
  const as = async (role: string): Promise<RawClient> =>
    new RawClient({ url, token: await makeToken(secret, { userId: 'eve', roles: [role], lifetimeS: 60 }) });
  const path = `/sessions/import?name=x&source_name=x&source_sha256=${'0'.repeat(64)}`;
  const nothing = new Uint8Array(Buffer.from('nothing'));
  for (const role of ['session_viewer', 'session_operator', 'auditor'])
    await assert.rejects((await as(role)).upload(path, nothing, 'application/gzip'), /sessions:import/);
  await assert.rejects((await as('session_manager')).upload(path, nothing, 'application/gzip'), /no gzip file/);
  await assert.rejects(api.upload(path, nothing, 'application/json'), /not valid JSON|application\/gzip/);
  await assert.rejects(api.upload(path, new Uint8Array(0), 'application/gzip'), /empty|application\/gzip/);
  await assert.rejects(api.upload('/sessions/import?name=x', nothing, 'application/gzip'), /source_name/);
  await assert.rejects(api.upload('/sessions', nothing, 'application/gzip'), /application\/json/);
  const directory = temporary();
  const [text, packed] = ['notes.txt', 'notes.gz'].map((name) => join(directory, name)) as [string, string];
  writeFileSync(text, 'these are notes, and no packets at all');
  writeFileSync(packed, Buffer.from('1f8b0800', 'hex'));
  await assert.rejects(run(api, text), /not a pcapng or pcap file/);
  await assert.rejects(run(api, packed), /can't be unpacked/);
  const { sessions } = await api.json<{ sessions: SessionAnswer[] }>('GET', '/sessions');
  assert.deepEqual(sessions, []);
  const { events } = await api.json<Audit>('GET', '/audit?event_type=session_imported&limit=100');
  assert.ok(events.length > 0 && events.every(({ details }) => details.capture_sha256 === undefined));
});
