/** Imports, examinations and pictures where every service is a process of its own; and one of them is killed. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { VerificationReport } from '@lucid-sessions/evidence';
import { eventually } from '@lucid-sessions/testkit';
import { PNG } from 'pngjs';
import { Output } from '../src/cli/output.ts';
import { importCapture } from '../src/commands/import.ts';
import type { SessionAnswer } from '../src/commands/sessions.ts';
import { startFive } from './support/five.ts';
import type { RawClient } from './support/raw-client.ts';

const captures = join(import.meta.dirname, '../../../testkit/captures');

/** The command as the command line runs it; its one session. */
async function imported(api: RawClient, name: string): Promise<SessionAnswer> {
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

test('five processes import, examine and draw; a recorder killed in the middle of an import leaves a session that says so', {
  timeout: 300_000,
}, async (t) => {
  // Seven seconds in 30 chunks: there is a middle.
  const five = await startFive(t, {
    LUCID_CHUNK_AGE_MS: '200',
    LUCID_RECONCILE_MS: '300',
    LUCID_RECORDER_GRACE_MS: '5000',
    LUCID_LEASE_MS: '1000',
    LUCID_RATE_LIMIT_CHUNKS: '100000',
  });
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

  const long = 'shadow-gfx-avc420.rdpcap.gz';
  const chunksOf = async (of: string): Promise<number> =>
    (await api.json<{ pagination: { total: number } }>('GET', `/sessions/${of}/chunks?limit=1`)).pagination.total;
  const known = new Set([id]);
  const listed = async () => {
    const { sessions } = await api.json<{ sessions: SessionAnswer[] }>('GET', '/sessions?limit=20');
    return sessions.find((one) => !known.has(one.session_id));
  };
  /** Kills the recorder once some of an import is stored; false where it was through before. */
  const killed = async (): Promise<string | false> => {
    const broken = imported(api, long).catch(() => null);
    const begun = await eventually('chunks of an import under way', async () => {
      const one = await listed();
      return one !== undefined && (await chunksOf(one.session_id)) >= 3 && one;
    });
    await five.running.recorder.stop('SIGKILL');
    known.add(begun.session_id);
    const chunks = await chunksOf(begun.session_id);
    await five.again('recorder');
    await broken;
    return chunks < 20 && begun.session_id;
  };
  let part: string | false = false;
  for (let tries = 0; part === false && tries < 4; tries += 1) part = await killed();
  assert.ok(part, 'one was killed in the middle');
  const ended = await eventually(
    'the end of what was killed',
    async () => {
      const one = await api.json<SessionAnswer>('GET', `/sessions/${part}`);
      return one.status === 'failed' && one;
    },
    60_000,
  );
  assert.equal(ended.end_reason, 'recorder_crashed');
  // What was sealed until then is whole: signed, in order, and said to be a part.
  const left = await eventually('its manifest', async () => {
    const judged = await verify(part);
    return judged.facts.chunks_in_manifest !== null && judged;
  });
  assert.equal(left.verdicts.integrity, 'intact', JSON.stringify(left.findings));
  assert.equal(left.verdicts.origin, 'imported');
  assert.ok(left.facts.leaves_count >= 3);

  const again = await imported(api, long);
  assert.deepEqual([again.status, again.outcome], ['completed', 'whole']);
  assert.notEqual(again.session_id, part);
  assert.deepEqual(
    (await verify(again.session_id)).findings.map(({ code }) => code),
    ['IMPORTED'],
  );
});
