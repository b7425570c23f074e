import { equalBytes } from '@lucid-sessions/wire';
import { bundleNames, consistencySchema } from '../bundle/files.ts';
import { parseSignedCheckpoint, type SignedCheckpoint } from '../log/checkpoint.ts';
import { checkCosignature } from '../log/cosignature.ts';
import { logEntry } from '../log/entry.ts';
import { type LogProof, parseLogProof } from '../log/log-proof.ts';
import { checkNote } from '../log/note.ts';
import { hashLeaf } from '../merkle/hash.ts';
import { verifyConsistency, verifyInclusion } from '../merkle/proof.ts';
import { parseCanonicalJson } from '../record/json.ts';
import type { SignedRecord } from '../record/record.ts';
import { fromHex } from '../text.ts';
import { type Context, orFormat, smallFile } from './context.ts';

export interface LogResult {
  /** The manifest is in a trusted log. */
  manifestLogged: boolean;
  openLogged: boolean;
  /** Text of the manifest's checkpoint, for anchors that cover it. */
  manifestCheckpointText: string | null;
  /** Earliest time enough witnesses vouch the manifest existed at, µs since 1970. */
  witnessedUs: number | null;
  witnessesCount: number;
  /** Latest time a trusted witness gives for the checkpoint inside `open`: the recording began after it. */
  notBeforeUs: number | null;
}

interface TrustedCheckpoint extends SignedCheckpoint {
  /** When each trusted witness says it saw this checkpoint, µs since 1970, earliest first. */
  witnessedUs: number[];
}

interface Logged {
  proof: LogProof;
  checkpoint: TrustedCheckpoint;
}

/** Checks proofs, checkpoints and cosignatures, and that all checkpoints are of one log that only grew. */
export async function checkLog(context: Context): Promise<LogResult> {
  const result: LogResult = {
    manifestLogged: false,
    openLogged: false,
    manifestCheckpointText: null,
    witnessedUs: null,
    witnessesCount: 0,
    notBeforeUs: null,
  };
  const checkpoints: SignedCheckpoint[] = [];
  const open = await checkLogged(context, context.open as SignedRecord | null, bundleNames.openProof);
  const manifest = await checkLogged(context, context.manifest as SignedRecord | null, bundleNames.manifestProof);
  const resumes: (Logged | null)[] = [];
  for (const [at, record] of context.resumes.entries())
    resumes.push(await checkLogged(context, record as unknown as SignedRecord, bundleNames.resumeProof(at)));
  for (const logged of [open, ...resumes, manifest]) if (logged !== null) checkpoints.push(logged.checkpoint);
  result.openLogged = open !== null;
  result.manifestLogged = manifest !== null;
  if (open !== null && manifest !== null && open.proof.index >= manifest.proof.index)
    context.findings.add('TIME_ORDER', 'the manifest was logged before the open record', {
      file: bundleNames.manifestProof,
    });
  const before = await openCheckpoint(context, open);
  if (before !== null) {
    checkpoints.push(before);
    result.notBeforeUs = before.witnessedUs.at(-1) ?? null;
  }
  await checkConsistency(context, checkpoints);
  if (manifest !== null) {
    result.manifestCheckpointText = manifest.checkpoint.note.text;
    countWitnesses(context, manifest.checkpoint, result);
  }
  checkWitnessTimes(context, result);
  return result;
}

/** A checkpoint the policy's log keys vouch for, or null with the finding. */
async function trustedCheckpoint(context: Context, text: string, file: string): Promise<TrustedCheckpoint | null> {
  const checkpoint = await orFormat(context, file, () => parseSignedCheckpoint(text));
  if (checkpoint === null) return null;
  const key = context.policy.logKeys.find(({ name }) => name === checkpoint.origin);
  const state = key === undefined ? 'absent' : await checkNote(context.crypto, checkpoint.note, key);
  if (state === 'good') return { ...checkpoint, witnessedUs: await witnessTimes(context, checkpoint, file) };
  if (state === 'bad')
    context.findings.add('SIG_BAD', `a checkpoint of ${checkpoint.origin} has a bad signature`, { file });
  else context.findings.add('KEY_UNTRUSTED', `the policy trusts no key of the log ${checkpoint.origin}`, { file });
  return null;
}

async function witnessTimes(context: Context, checkpoint: SignedCheckpoint, file: string): Promise<number[]> {
  const times: number[] = [];
  for (const witness of context.policy.witnesses) {
    const check = await checkCosignature(context.crypto, checkpoint.note, witness);
    if (check.state === 'good') times.push(check.timeSeconds * 1_000_000);
    if (check.state === 'bad') context.findings.add('SIG_BAD', `the cosignature of ${witness.name} is bad`, { file });
  }
  return times.sort((a, b) => a - b);
}

async function checkLogged(context: Context, record: SignedRecord | null, file: string): Promise<Logged | null> {
  if (record === null) return null;
  const { findings, policy } = context;
  const bytes = await orFormat(context, file, () => smallFile(context, file));
  if (bytes === null) {
    if (policy.logRequired && !context.files.has(file))
      findings.add('LOG_INCLUSION', `the ${record.kind} record comes without a proof that it was logged`, { file });
    return null;
  }
  const proof = await orFormat(context, file, () => parseLogProof(bytes));
  const checkpoint = proof === null ? null : await trustedCheckpoint(context, proof.checkpoint, file);
  if (proof === null || checkpoint === null) return null;
  const leafHash = hashLeaf(logEntry(record.kind, record.sha256));
  const { size, root } = checkpoint;
  if (verifyInclusion({ leafHash, index: proof.index, size, root, proof: proof.hashes })) return { proof, checkpoint };
  findings.add('LOG_INCLUSION', `the proof does not show that the ${record.kind} record is in the log`, { file });
  return null;
}

/** The checkpoint `open` names: the log as it stood before the recording began. */
async function openCheckpoint(context: Context, open: Logged | null): Promise<TrustedCheckpoint | null> {
  const text = context.open?.body.checkpoint ?? null;
  if (text === null || (context.policy.logKeys.length === 0 && open === null)) return null;
  const checkpoint = await trustedCheckpoint(context, text, bundleNames.open);
  if (checkpoint !== null && open !== null && open.proof.index < checkpoint.size)
    context.findings.add('TIME_ORDER', 'the open record names a checkpoint that already holds it', {
      file: bundleNames.open,
    });
  return checkpoint;
}

/** Every checkpoint must be shown to extend the next smaller one. */
async function checkConsistency(context: Context, checkpoints: SignedCheckpoint[]): Promise<void> {
  const file = bundleNames.consistency;
  const proofs = await orFormat(context, file, async () => {
    const bytes = await smallFile(context, file);
    return bytes === null ? [] : consistencySchema.parse(parseCanonicalJson(bytes, bytes.length), 'consistency');
  });
  const ordered = checkpoints.toSorted((a, b) => a.size - b.size);
  for (const [at, second] of ordered.entries()) {
    const known = context.policy.knownCheckpoints.find(
      ({ origin, size }) => origin === second.origin && size === second.size,
    );
    if (known !== undefined && !equalBytes(known.root, second.root))
      context.findings.add('LOG_FORK', `the log showed another tree of ${second.size} entries elsewhere`, { file });
    const first = ordered[at - 1];
    if (first === undefined) continue;
    if (first.origin !== second.origin) {
      context.findings.add('LOG_FORK', 'the records are in different logs', { file });
      continue;
    }
    const found = proofs?.find((proof) => proof.first === first.size && proof.second === second.size);
    const proof = (found?.hashes ?? []).map((text) => fromHex(text, 32));
    const claim = { first: first.size, firstRoot: first.root, second: second.size, secondRoot: second.root, proof };
    if (!verifyConsistency(claim))
      context.findings.add(
        'LOG_FORK',
        `the log of ${second.size} entries is not shown to extend the one of ${first.size}`,
        { file },
      );
  }
}

function countWitnesses(context: Context, { witnessedUs }: TrustedCheckpoint, result: LogResult): void {
  const { witnessesRequired } = context.policy;
  result.witnessesCount = witnessedUs.length;
  // With n required, the n-th earliest is the first moment at which enough of them had seen it.
  result.witnessedUs = witnessedUs[Math.max(0, witnessesRequired - 1)] ?? null;
  if (witnessedUs.length < witnessesRequired)
    context.findings.add(
      'LOG_INCLUSION',
      `${witnessedUs.length} of ${witnessesRequired} witnesses cosigned the checkpoint`,
      { file: bundleNames.manifestProof },
    );
}

function checkWitnessTimes(context: Context, result: LogResult): void {
  const { findings, manifest, open, policy } = context;
  if (
    manifest !== null &&
    result.witnessedUs !== null &&
    result.witnessedUs + policy.clockToleranceUs < manifest.body.ended_us
  )
    findings.add('TIME_ORDER', 'witnesses saw the manifest before the recording ended', { file: bundleNames.manifest });
  if (
    open !== null &&
    result.notBeforeUs !== null &&
    result.notBeforeUs - policy.clockToleranceUs > open.body.opened_us
  )
    findings.add('TIME_ORDER', 'the recording says it began before the checkpoint it names', {
      file: bundleNames.open,
    });
}
