/** Evidence records of a bundle (docs/format.md, 9.6), and timestamps that only count where one renewed them in time. */
import { DecodeError, equalBytes } from '@lucid-sessions/wire';
import {
  type ArchiveTimestamp,
  chainCovers,
  coveredHashes,
  coversStamp,
  type EvidenceRecord,
  firstList,
  readEvidenceRecord,
} from '../anchor/evidence-record.ts';
import {
  type DigestName,
  digestNames,
  digestOf,
  readTimestamp,
  type Timestamp,
  timestampSigner,
} from '../anchor/timestamp.ts';
import { bundleNames } from '../bundle/files.ts';
import { fromBase64, toHex } from '../text.ts';
import { sha256 } from '../web-crypto.ts';
import type { CheckId } from './checks.ts';
import { type Context, smallFile } from './context.ts';
import type { TrustPolicy } from './policy.ts';

/** A timestamp of a receipt that holds by itself. */
export interface HeldStamp {
  file: string;
  backend: string;
  token: Uint8Array;
  /** Of the timestamp, whatever unsigned bytes are around it. */
  mark: string;
  timeUs: number;
  endUs: number;
}

/** Two timestamps with one are the same, however they are wrapped. */
export const markOf = ({ signedBytes }: Pick<Timestamp, 'signedBytes'>): string => toHex(sha256(signedBytes));

export type JudgedRecord =
  | { state: 'confirmed'; timeUs: number; mark: string; record: EvidenceRecord }
  | { state: 'invalid'; check: CheckId; message: string };

/** Until when a timestamp is trusted by itself: its certificate, and each algorithm it stands on. */
export function endOfTrust(
  { algorithms = [] }: TrustPolicy,
  { digestHash, contentHash, signature }: Pick<Timestamp, 'digestHash' | 'contentHash' | 'signature'>,
  validToUs: number,
): number {
  const used: readonly string[] = [digestHash, contentHash, signature.hash, signature.scheme];
  return Math.min(validToUs, ...algorithms.filter(({ name }) => used.includes(name)).map(({ untilUs }) => untilUs));
}

async function objectsOf(context: Context): Promise<Uint8Array[]> {
  const files = [bundleNames.open, bundleNames.manifest];
  return (await Promise.all(files.map((file) => smallFile(context, file)))).filter((bytes) => bytes !== null);
}

const isIn = (hash: Uint8Array, list: readonly Uint8Array[]): boolean => list.some((one) => equalBytes(one, hash));

/** `tokens`: all timestamps of receipts in the bundle. */
export async function judgeRecord(
  context: Context,
  detail: string | null,
  tokens: readonly Uint8Array[],
): Promise<JudgedRecord> {
  const wrong = (check: CheckId, message: string): JudgedRecord => ({ state: 'invalid', check, message });
  let record: EvidenceRecord;
  try {
    record = readEvidenceRecord(fromBase64(detail ?? '', 'evidence record'));
  } catch (error) {
    if (error instanceof DecodeError) return wrong('A16', error.message);
    throw error;
  }
  const objects = await objectsOf(context);
  const digests = new Map<DigestName, Uint8Array[]>();
  for (const [at, chain] of record.entries()) {
    const [first] = chain as [ArchiveTimestamp];
    const list = firstList(first);
    const hashes = digests.get(first.hash) ?? [...objects, ...tokens].map((bytes) => digestOf[first.hash](bytes));
    digests.set(first.hash, hashes);
    const known = coveredHashes(record, at, first.hash, hashes);
    const asked = known.slice(0, objects.length);
    if (!asked.every((hash) => isIn(hash, list)) || !list.every((hash) => isIn(hash, known)))
      return wrong('A17', `chain ${at} is over other data than this recording`);
    for (const [place, stamp] of chain.entries())
      if (place > 0 && !coversStamp(stamp, chain[place - 1]!))
        return wrong('A18', `archive timestamp ${place} of chain ${at} does not cover the one before`);
  }
  return judgeTimes(context, record);
}

async function judgeTimes(context: Context, record: EvidenceRecord): Promise<JudgedRecord> {
  const { crypto, policy } = context;
  const stamps: { timeUs: number; endUs: number }[] = [];
  for (const { token } of record.flat()) {
    const timestamp = readTimestamp(token, digestNames);
    const signer = await timestampSigner(crypto, timestamp, policy.authorities ?? []);
    const endUs = signer === null ? Number.NEGATIVE_INFINITY : endOfTrust(policy, timestamp, signer.validToUs);
    if (timestamp.timeUs > endUs)
      return { state: 'invalid', check: 'A19', message: 'a timestamp in it is by nobody the policy trusted then' };
    stamps.push({ timeUs: timestamp.timeUs, endUs });
  }
  for (const [at, next] of stamps.entries()) {
    const before = stamps[at - 1];
    if (before !== undefined && !(before.timeUs < next.timeUs && next.timeUs <= before.endUs))
      return {
        state: 'invalid',
        check: 'A20',
        message: `archive timestamp ${at - 1} was not renewed while it counted`,
      };
  }
  if ((policy.asOfUs ?? 0) > stamps.at(-1)!.endUs)
    return { state: 'invalid', check: 'A21', message: 'its last timestamp does not count any more' };
  const mark = markOf(readTimestamp(record[0]![0]!.token, digestNames));
  return { state: 'confirmed', timeUs: stamps[0]!.timeUs, mark, record };
}

/** Whether the timestamp counts now: by itself, or because a record that holds took it up while it did. */
export function stillCounts({ asOfUs }: TrustPolicy, stamp: HeldStamp, records: readonly EvidenceRecord[]): boolean {
  if ((asOfUs ?? 0) <= stamp.endUs) return true;
  return records.some((record) => {
    const missing = record.findLastIndex((_, at) => !chainCovers(record, at, [stamp.token]));
    const taken = record[missing + 1]?.[0];
    return taken !== undefined && taken.timeUs <= stamp.endUs;
  });
}
