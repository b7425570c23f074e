/** Signing what was taken out of a redacted copy; the copy itself is made where its reader is (docs/redaction.md). */
import { createHash } from 'node:crypto';
import { LucidError, type signedRedaction } from '@lucid-sessions/contract';
import { planProblem, readRecordOf } from '@lucid-sessions/evidence';
import type { z } from 'zod';
import { type Call, type Handlers, loadSession } from './call.ts';
import { addCustody } from './custody.ts';

async function signRedaction(call: Call<'signRedaction'>): Promise<z.output<typeof signedRedaction>> {
  const { api, sessionId, user, body } = call;
  const { storage, processor, nowUs } = api.deps;
  await loadSession(call);
  const [manifest] = (await storage.getRecords({ sessionId, kind: 'manifest' })).records;
  if (manifest === undefined)
    throw new LucidError('recordNotFound', 'a copy can be signed for when the manifest is: the recording goes on');
  const { sha256: manifestSha256, body: signed } = readRecordOf('manifest', manifest.record);
  if (body.manifest_sha256 !== manifestSha256)
    throw new LucidError('conflict', 'the copy is of another manifest than the one stored here');
  const problem = planProblem(body);
  if (problem !== null) throw new LucidError('invalidRequest', problem);
  if (body.chunks.some(({ first, last }) => !(first <= last && last < signed.chunks_count)))
    throw new LucidError('invalidRequest', `the recording has ${signed.chunks_count} chunks`);
  const facts = { ...body, at_us: nowUs(), actor: user.userId, merkle_root: signed.merkle_root };
  const { record } = await processor.signRecord({ sessionId, kind: 'redaction', body: facts });
  const sha256 = createHash('sha256').update(record).digest('hex');
  Object.assign(call.told, { reason: body.reason, sha256 });
  const [boxes, spans] = [body.boxes.length, body.spans.length];
  await addCustody(call, 'export', `redacted copy (boxes ${boxes}, spans ${spans}), record ${sha256}: ${body.reason}`);
  return { session_id: sessionId, sha256, envelope: Buffer.from(record).toString('base64') };
}

export const redactionHandlers: Handlers<'signRedaction'> = { signRedaction };
