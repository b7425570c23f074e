/** Imports, examinations and pictures where every service is a process of its own. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { VerificationReport } from '@lucid-sessions/evidence';
import { eventually } from '@lucid-sessions/testkit';
import { PNG } from 'pngjs';
import type { ApiClient } from '../src/cli/api-client.ts';
import { Output } from '../src/cli/output.ts';
import { importCapture } from '../src/commands/import.ts';
import type { SessionAnswer } from '../src/commands/sessions.ts';
import { startFive } from './support/five.ts';

const captures = join(import.meta.dirname, '../../../testkit/captures');

/** The command as the command line runs it; its one session. */
async function imported(api: ApiClient, name: string): Promise<SessionAnswer> {
  const parts: string[] = [];
  const output = new Output({ stdout: { write: (text) => parts.push(text) }, stderr: { write: () => {} } }, true);
  const code = await importCapture(output, join(captures, name), { keylog: [] }, () => api);
  assert.equal(code, 0, parts.join(''));
  const answer = JSON.parse(parts.join('')) as { imported: { session: SessionAnswer }[] };
  return answer.imported[0]!.session;
}

interface Replay {
  state: string;
  examined_at: string | null;
}

test('five processes import a capture, examine it and draw its pictures', {
  timeout: 300_000,
}, async (t) => {
  const five = await startFive(t);
  const { api } = five;
  const session = await imported(api, 'xorg-bpp16-nocomp.rdpcap.gz');
  const id = session.session_id;
  assert.deepEqual([session.status, session.outcome], ['completed', 'whole']);
  const verify = (of: string) => api.json<VerificationReport>('POST', `/sessions/${of}/verify`, {});
  const report = await verify(id);
  assert.deepEqual([report.findings.map(({ code }) => code), report.verdicts.integrity], [['IMPORTED'], 'intact']);
  await api.json('POST', `/sessions/${id}/replay`, {});
  const replay = await eventually(
    'the replay record',
    async () => {
      const known = await api.json<Replay>('GET', `/sessions/${id}/replay`);
      return known.examined_at !== null && known;
    },
    60_000,
  );
  assert.equal(replay.state, 'drawn');
  const png = await (await api.send('GET', `/sessions/${id}/picture`)).arrayBuffer();
  assert.ok(PNG.sync.read(Buffer.from(png)).width > 0);
});
