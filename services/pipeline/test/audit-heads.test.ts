/** Heads of the audit chain reach the log, each once, whoever looks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { auditRowHash, parseLogEntry } from '@lucid-sessions/evidence';
import { eventually } from '@lucid-sessions/testkit';
import { createPipelineService } from '../src/index.ts';
import { world } from './world.ts';

const event = (eventId: string) => ({
  eventId,
  timestampUs: 1,
  eventType: 'session_created',
  userId: 'ada',
  resourceId: null,
  ipAddress: null,
  userAgent: null,
  success: true,
  errorMessage: null,
  details: {},
});

test('a head is logged when it changed, by whichever pipeline looks, and again behind a failure', async () => {
  const made = await world({ headsMs: 30 });
  try {
    assert.deepEqual(await made.pipeline.auditProof(), { proven: null });
    const heads = () => made.entries.map(parseLogEntry).filter((fields) => fields?.kind === 'audit');
    await made.storage.appendAudit(event('a'));
    await eventually('the first head', async () => heads().length === 1);
    const second = createPipelineService(made.deps(), { headsMs: 30 });
    await second.run();
    await made.storage.appendAudit(event('b'));
    await made.storage.appendAudit(event('c'));
    const head = (await made.storage.auditHead()).head!;
    await eventually('the last head', async () => heads().at(-1)?.recordSha256 === head.rowSha256);
    await second.dispose();
    const { rows } = await made.storage.auditRows({ from: 0, limit: 10 });
    const known = new Set(rows.map(({ text }) => auditRowHash(text)));
    for (const fields of heads()) {
      assert.ok(known.has(fields?.recordSha256 ?? ''));
      assert.equal(fields?.subject, auditRowHash(rows[0]!.text));
    }
    const proven = (await made.pipeline.auditProof()).proven!;
    assert.equal(proven.sequence, 3);
    assert.equal(parseLogEntry(made.entries[proven.proof.logIndex]!)?.recordSha256, head.rowSha256);

    const append = made.storage.auditHead;
    made.storage.auditHead = () => Promise.reject(new Error('away'));
    await eventually('a failure that is told', async () => made.failures.some((line) => line.includes('audit head')));
    assert.equal(made.failures.filter((line) => line.includes('audit head')).length, 1, 'once for a row of failures');
    await made.storage.appendAudit(event('d'));
    made.storage.auditHead = append;
    const later = (await made.storage.auditHead()).head!;
    await eventually('the head behind it', async () => heads().at(-1)?.recordSha256 === later.rowSha256);
  } finally {
    await made.dispose();
  }
});
