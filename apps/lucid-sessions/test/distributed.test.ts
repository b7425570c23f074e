/**
 * Two of every service, each a process with a directory of its own, on a PostgreSQL, a Redis and an S3 server: sessions come in at either
 * recorder, and either API shows, commands, verifies, exports, plays and deletes them.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { connectClient, type Desktop, startDesktop } from '@lucid-sessions/desktop';
import {
  compareWithWitness,
  eventually,
  peersMissing,
  skipUnlessPeers,
  startWitness,
  startXfreerdp,
  temporaryDirectory,
} from '@lucid-sessions/testkit';
import { runCli } from './support/cli.ts';
import { type Cluster, startCluster } from './support/cluster.ts';
import { armSession, readRecording, sessionIn, verifySession } from './support/gateway.ts';
import type { RawClient } from './support/raw-client.ts';

/** From the first frame that is in no stored chunk: on a busy machine there are some before this asks. */
async function liveReader(api: RawClient, id: string) {
  for (let from = 0; ; ) {
    try {
      const live = await api.send('GET', `/sessions/${id}/live?after_frame=${from}`);
      assert.equal(live.status, 200);
      return live.body!.getReader();
    } catch (thrown) {
      const stored = /frames before (\d+) are stored/.exec((thrown as Error).message)?.[1];
      if (stored === undefined || Number(stored) <= from) throw thrown;
      from = Number(stored);
    }
  }
}

const servers = ['postgres', 'redis', 'seaweedfs'] as const;
if (peersMissing(...servers).length > 0) test('two of every service', (t) => void skipUnlessPeers(t, ...servers));
else
  describe('two of every service', { concurrency: 1 }, () => {
    let cluster: Cluster;
    let desktop: Desktop;
    before(async () => {
      desktop = await startDesktop();
      cluster = await startCluster();
    });
    after(async () => {
      await cluster?.stop();
      await desktop?.stop();
    });
    /** The other one than a session was made at. */
    const other = (at: number) => ({ api: cluster.apis[1 - at]! });

    /** Through a recorder, with a witness on both sides. */
    async function joined(t: TestContext, at: number) {
      const witness = await startWitness(cluster.recorders[at]!.rdpPort, desktop.port);
      t.after(() => witness.stop());
      const { id, routingToken } = await armSession({ api: cluster.apis[at]! }, witness.far.port);
      const client = await connectClient({ port: witness.near.port, routingToken, userName: 'ada' });
      t.after(() => client.destroy());
      await client.type(`at recorder ${at}\n`, 5);
      return { id, client, witness };
    }

    async function assertWhole(at: number, id: string): Promise<void> {
      for (const api of cluster.apis) {
        const report = await verifySession({ api }, id);
        assert.deepEqual([report.findings, report.clean, report.verdicts.completeness], [[], true, 'whole']);
      }
      assert.equal((await sessionIn(other(at), id, 'completed')).outcome, 'whole');
    }

    for (const at of [0, 1])
      test(`recorder ${at + 1}: the other API shows its session live, tells its user something and stops it`, {
        timeout: 180_000,
      }, async (t) => {
        const { id, client, witness } = await joined(t, at);
        await sessionIn(other(at), id, 'recording');
        const reader = await liveReader(other(at).api, id);
        const { value } = await reader.read();
        assert.ok((value?.length ?? 0) > 0, 'frames of the recorder that holds it');
        await reader.cancel();
        const told = await other(at).api.send('POST', `/sessions/${id}/message`, { text: 'We stop.', seconds: 5 });
        assert.equal(told.status, 200);
        await other(at).api.json('POST', `/sessions/${id}/stop`, { reason: 'shown' });
        const end = await client.ended;
        assert.ok(end.errorInfo > 0, 'the client learns why its session ends');
        await sessionIn(other(at), id, 'completed');
        await assertWhole(at, id);
        const frames = await readRecording(other(at), id);
        assert.ok(frames.length > 0);
        compareWithWitness(witness, 0, frames, null, 0);
      });

    test('sessions at both recorders at once are whole, and exported, played and deleted at either API', {
      timeout: 240_000,
    }, async (t) => {
      const both = await Promise.all([0, 1].map((at) => joined(t, at)));
      const { services } = await cluster.api.json<{ services: Record<string, { status: string }> }>('GET', '/health');
      assert.ok(
        Object.values(services).every(({ status }) => status === 'healthy'),
        JSON.stringify(services),
      );
      for (const { client } of both) {
        await client.settled();
        await client.close();
      }
      const directory = temporaryDirectory('distributed');
      for (const [at, { id, witness }] of both.entries()) {
        await sessionIn(other(at), id, 'completed');
        await assertWhole(at, id);
        compareWithWitness(witness, 0, await readRecording(other(at), id), null, 0);
        const bundle = join(directory, `evidence-${at}`);
        const exported = await runCli(
          ['--api', cluster.apiUrls[1 - at]!, '--token-file', cluster.tokenFile, 'export', id, '--out', bundle],
          {},
        );
        assert.equal(exported.code, 0, exported.stderr);
        const verified = await runCli(['--json', 'verify', bundle, '--policy', `${bundle}.policy.json`]);
        assert.equal(verified.code, 0, verified.stdout + verified.stderr);
      }
      const [first, second] = both as [(typeof both)[0], (typeof both)[0]];
      const erased = await other(0).api.json<{ erased: string }>('POST', `/sessions/${first.id}/erase`, {
        confirm: first.id,
        reason: 'a judge said so',
      });
      assert.equal(erased.erased, 'keys');
      const report = await verifySession({ api: cluster.apis[0]! }, first.id);
      assert.equal(report.verdicts.integrity, 'intact', JSON.stringify(report.findings));
      assert.equal(report.verdicts.readability, 'shredded', JSON.stringify(report.verdicts));
      await other(1).api.json('DELETE', `/sessions/${second.id}`);
      await sessionIn({ api: cluster.apis[1]! }, second.id, 'deleted');

      for (const [id, wanted] of [
        [first.id, ['session_created', 'session_verified', 'evidence_exported', 'key_shredded']],
        [second.id, ['session_created', 'session_verified', 'evidence_exported', 'session_deleted']],
      ] as const)
        for (const { api } of [other(0), other(1)]) {
          const { events } = await api.json<{ events: { event_type: string; resource_id: string }[] }>(
            'GET',
            `/audit?resource_id=${id}&limit=1000`,
          );
          const types = events.filter(({ resource_id }) => resource_id === id).map(({ event_type }) => event_type);
          for (const type of wanted) assert.ok(types.includes(type), `${type} is in ${types}`);
        }
    });

    test('xfreerdp comes in at the second recorder, and what it typed is in the recording', {
      timeout: 180_000,
    }, async (t) => {
      if (skipUnlessPeers(t, 'xfreerdp')) return;
      const { id, routingToken } = await armSession({ api: cluster.apis[0]! }, desktop.port, {
        recording_config: { reconnect_seconds: 0 },
      });
      const before = desktop.typedLines().length;
      const client = await startXfreerdp(
        `127.0.0.1:${cluster.recorders[1]!.rdpPort}`,
        `/load-balance-info:Cookie: msts=${routingToken}`,
        ...['/u:ada', '/p:none', '/size:800x600', '/kbd:0x409', '/bpp:16', '-decorations'],
      );
      t.after(() => client.stop());
      await sessionIn(other(0), id, 'recording');
      await eventually('a line that xfreerdp typed', async () => {
        await client.type('by a real client');
        await client.key('Return');
        return desktop
          .typedLines()
          .slice(before)
          .some((line) => line.includes('by a real client'));
      });
      await client.closeClient();
      await sessionIn(other(0), id, 'completed');
      await assertWhole(0, id);
      const { events } = await cluster.apis[1]!.json<{ events: unknown[] }>(
        'GET',
        `/sessions/${id}/events?inputs=true&limit=1000`,
      );
      assert.ok(JSON.stringify(events).includes('by a real client'));
    });
  });
