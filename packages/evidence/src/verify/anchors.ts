import { DecodeError } from '@lucid-sessions/wire';
import { EVIDENCE_RECORD_BYTES_MAX, type EvidenceRecord, RENEWAL_BACKEND } from '../anchor/evidence-record.ts';
import { EVM_BACKEND, type EvmAnchorProof, readEvmAnchorProof } from '../anchor/evm.ts';
import { readTimestamp, timestampSigner } from '../anchor/timestamp.ts';
import { anchorSchema, type BundleAnchor, bundleNames } from '../bundle/files.ts';
import { parseCanonicalJson } from '../record/json.ts';
import { fromBase64, fromHex, toHex, utf8 } from '../text.ts';
import { sha256 } from '../web-crypto.ts';
import type { CheckId } from './checks.ts';
import { type AnchorVerdict, type Context, earliest, orFormat, smallFile } from './context.ts';
import type { LogResult } from './log.ts';
import { endOfTrust, type HeldStamp, judgeRecord, markOf, stillCounts } from './renewals.ts';

export interface AnchorResult {
  receiptsCount: number;
  /** Checked by the caller's own check. */
  confirmedCount: number;
  /** Earliest confirmed time, µs since 1970. */
  confirmedUs: number | null;
}

const ANCHORS_MAX = 100;
/** Evidence records: one is what a recording has. */
const RECORDS_MAX = 4;
/** Receipts that carry a timestamp of an RFC 3161 authority. */
export const TIMESTAMP_BACKEND = 'rfc3161';

/** Compares every receipt with what it should anchor and asks the caller's check about those that are confirmed. */
export async function checkAnchors(context: Context, log: LogResult): Promise<AnchorResult> {
  const result: AnchorResult = { receiptsCount: 0, confirmedCount: 0, confirmedUs: null };
  const seen: Seen = { stamps: [], tokens: [], records: [] };
  const marks = new Set<string>();
  const tell = (verdict: Judged, backend: string, file: string): void => {
    if (verdict.state === 'confirmed') {
      // A copy is no second one.
      marks.add(verdict.mark ?? file);
      result.confirmedCount = marks.size;
      result.confirmedUs = Math.min(result.confirmedUs ?? verdict.timeUs, verdict.timeUs);
    } else context.findings.add(verdict.check ?? asked[verdict.state], `${backend}: ${verdict.message}`, { file });
  };
  for (let at = 0; at < ANCHORS_MAX && context.files.has(bundleNames.anchor(at)); at += 1) {
    const file = bundleNames.anchor(at);
    const anchor = await orFormat(context, file, async () => {
      const bytes = (await smallFile(context, file)) as Uint8Array;
      return anchorSchema.parse(parseCanonicalJson(bytes, bytes.length), 'anchor');
    });
    if (anchor === null) continue;
    result.receiptsCount += 1;
    const verdict = await judge(context, anchor, { log, file, seen });
    if (verdict !== null) tell({ mark: claimMark(anchor), ...verdict }, anchor.backend, file);
  }
  const held: EvidenceRecord[] = [];
  for (const { file, detail } of seen.records) {
    const verdict = await judgeRecord(context, detail, seen.tokens);
    if (verdict.state === 'confirmed') held.push(verdict.record);
    tell(verdict, RENEWAL_BACKEND, file);
  }
  for (const stamp of seen.stamps)
    tell(
      stillCounts(context.policy, stamp, held)
        ? { state: 'confirmed', timeUs: stamp.timeUs, mark: stamp.mark }
        : {
            state: 'invalid',
            check: 'A22',
            message: 'the timestamp does not count any more, and was not renewed in time',
          },
      stamp.backend,
      stamp.file,
    );
  if (result.confirmedCount < context.policy.anchorsRequired)
    context.findings.add(
      'A12',
      `${result.confirmedCount} of ${context.policy.anchorsRequired} required anchors could be confirmed`,
    );
  const { manifest } = context;
  if (
    manifest !== null &&
    result.confirmedUs !== null &&
    result.confirmedUs + context.policy.clockToleranceUs < manifest.body.ended_us
  )
    context.findings.add('A13', 'the manifest was anchored before the recording ended');
  const seenUs = earliest(result.confirmedUs, log.witnessedUs);
  if (manifest !== null && seenUs !== null && seenUs - context.policy.latenessUs > manifest.body.ended_us)
    context.findings.add('A15', 'nobody who is trusted saw the manifest until long after it says the recording ended');
  return result;
}

/** What the caller's own check says. */
const asked = { pending: 'A11', reorged: 'A10', invalid: 'A9' } as const;

/** `mark`: receipts with one are copies of each other. */
type Judged = AnchorVerdict & { check?: CheckId; mark?: string };

const claimMark = ({ backend, subject, transaction_id, detail }: BundleAnchor): string =>
  JSON.stringify([backend, subject, transaction_id ?? detail]);

/** Of all receipts: timestamps that hold by themselves, all that can be read, and evidence records, which are judged when all are known. */
interface Seen {
  stamps: HeldStamp[];
  tokens: Uint8Array[];
  records: { file: string; detail: string | null }[];
}

interface Judging {
  log: LogResult;
  file: string;
  seen: Seen;
}

/** Null: a confirmed receipt that nobody checked. It is no failure, and it proves nothing. */
async function judge(context: Context, anchor: BundleAnchor, { log, file, seen }: Judging): Promise<Judged | null> {
  const authorities = context.policy.authorities ?? [];
  const token = anchor.backend === TIMESTAMP_BACKEND && authorities.length > 0 ? tokenOf(anchor) : null;
  if (token !== null) seen.tokens.push(token);
  const expected =
    anchor.subject === 'session_root'
      ? context.manifest?.body.merkle_root
      : log.manifestCheckpointText === null
        ? undefined
        : toHex(sha256(utf8(log.manifestCheckpointText)));
  if (expected !== undefined && anchor.digest !== expected)
    return { state: 'invalid', check: 'A1', message: 'the receipt is for another digest' };
  // Of a recording without an end there is no root, and of a log that nobody trusts no checkpoint.
  if (expected === undefined) return null;
  if (context.open !== null && anchor.session_id !== context.open.body.session_id)
    return { state: 'invalid', check: 'A2', message: 'the receipt is for another session' };
  if (anchor.status === 'failed')
    return { state: 'invalid', check: 'A3', message: anchor.detail ?? 'the anchoring failed' };
  if (anchor.status === 'reorged') return { state: 'reorged', check: 'A4', message: 'the chain dropped the anchoring' };
  if (anchor.status !== 'confirmed')
    return { state: 'pending', check: 'A5', message: `the anchoring is ${anchor.status}` };
  if (anchor.backend === TIMESTAMP_BACKEND && authorities.length > 0)
    return judgeTimestamp(context, anchor, { token, file, seen });
  if (anchor.backend === RENEWAL_BACKEND && authorities.length > 0) {
    if (anchor.subject !== 'session_root')
      return { state: 'invalid', check: 'A16', message: 'an evidence record is not over a checkpoint' };
    if (seen.records.length === RECORDS_MAX)
      return { state: 'invalid', check: 'A16', message: `more than ${RECORDS_MAX} evidence records` };
    const isLarge = (anchor.detail?.length ?? 0) > 2 * EVIDENCE_RECORD_BYTES_MAX;
    seen.records.push({ file, detail: isLarge ? null : anchor.detail });
    return null;
  }
  if (anchor.backend === EVM_BACKEND && anchor.detail !== null) return judgeEvm(context, anchor, anchor.detail);
  return context.checkAnchor === undefined ? null : context.checkAnchor(anchor);
}

function tokenOf({ detail }: BundleAnchor): Uint8Array | null {
  try {
    return fromBase64(detail ?? '', 'timestamp');
  } catch {
    return null;
  }
}

/** `detail` holds the token in base64. It needs no server: the policy's certificates are enough. */
async function judgeTimestamp(
  context: Context,
  anchor: BundleAnchor,
  { token, file, seen }: Pick<Judging, 'file' | 'seen'> & { token: Uint8Array | null },
): Promise<Judged | null> {
  if (token === null) return { state: 'invalid', check: 'A6', message: 'the timestamp is not base64' };
  try {
    const timestamp = readTimestamp(token);
    if (toHex(timestamp.digest) !== anchor.digest)
      return { state: 'invalid', check: 'A6', message: 'the timestamp is for another digest' };
    const signer = await timestampSigner(context.crypto, timestamp, context.policy.authorities ?? []);
    const endUs = signer === null ? 0 : endOfTrust(context.policy, timestamp, signer.validToUs);
    if (signer !== null && timestamp.timeUs > endUs)
      return { state: 'invalid', check: 'A7', message: 'an algorithm of the timestamp was not trusted any more' };
    if (signer !== null) {
      seen.stamps.push({
        file,
        backend: anchor.backend,
        token,
        mark: markOf(timestamp),
        timeUs: timestamp.timeUs,
        endUs,
      });
      return null;
    }
    return { state: 'invalid', check: 'A7', message: 'no authority the policy trusts signed the timestamp' };
  } catch (error) {
    if (error instanceof DecodeError) return { state: 'invalid', check: 'A6', message: error.message };
    throw error;
  }
}

/** The proof is checked here; that its block is one of the chain is the policy's word, or that of the caller's check. */
async function judgeEvm(context: Context, anchor: BundleAnchor, detail: string): Promise<Judged | null> {
  let proof: EvmAnchorProof;
  try {
    proof = readEvmAnchorProof(detail, fromHex(anchor.digest, 32));
  } catch (error) {
    if (error instanceof DecodeError) return { state: 'invalid', check: 'A8', message: error.message };
    throw error;
  }
  const { chainId, contract, blockHash, timeUs } = proof;
  const mark = JSON.stringify([EVM_BACKEND, anchor.subject, chainId, contract]);
  const isKnown = context.policy.evmBlocks?.some((block) => block.chainId === chainId && block.blockHash === blockHash);
  if (isKnown === true) return { state: 'confirmed', timeUs, mark };
  const verdict = (await context.checkAnchor?.(anchor)) ?? null;
  return verdict === null ? null : { ...verdict, mark };
}
