import { DecodeError, equalBytes } from '@lucid-sessions/wire';
import { bundleNames, consistencySchema } from '../bundle/files.ts';
import { parseSignedCheckpoint, type SignedCheckpoint } from '../log/checkpoint.ts';
import { checkCosignature } from '../log/cosignature.ts';
import { type LoggedSession, logEntry, loggedSession, sessionSubject } from '../log/entry.ts';
import { type LogProof, parseLogProof } from '../log/log-proof.ts';
import { checkNote } from '../log/note.ts';
import { scanLog } from '../log/scan.ts';
import { emptyRoot, hashLeaf } from '../merkle/hash.ts';
import { verifyConsistency, verifyInclusion } from '../merkle/proof.ts';
import { parseCanonicalJson } from '../record/json.ts';
import type { SignedRecord } from '../record/record.ts';
import { fromHex, toHex } from '../text.ts';
import { type Context, orFormat, smallFile } from './context.ts';
import { type ProgressFile, type ProvenHead, readProgress } from './progress.ts';

export interface LogResult {
  /** The manifest is in a trusted log. */
  manifestLogged: boolean;
  /** As which entry; null: it is not shown. */
  manifestIndex: number | null;
  openLogged: boolean;
  /** Erase records, by their place in the bundle, that are logged under a checkpoint enough witnesses cosigned. */
  erasesLogged: ReadonlySet<number>;
  /** Text of the manifest's checkpoint, for anchors that cover it. */
  manifestCheckpointText: string | null;
  /** Earliest time enough witnesses vouch the manifest existed at, µs since 1970. */
  witnessedUs: number | null;
  witnessesCount: number;
  /** Latest time a trusted witness gives for the checkpoint inside `open`: the recording began after it. */
  notBeforeUs: number | null;
  /** Heads of the session that the log held while it ran. */
  progress: readonly ProvenHead[];
  /** What the bundle was compared with beyond its own proofs. */
  compared: LogFacts;
}

export interface LogFacts {
  /** Entries of the log it was compared with; null: with none, so that records left out and second ones could not be found. */
  size: number | null;
  /** Records of the session that were logged after the bundle's proofs. */
  records_since: number;
  /** Checkpoints the caller knew: shown to be of this log, and those nothing here could be compared with. */
  known: number;
  not_compared: number;
}

interface TrustedCheckpoint extends SignedCheckpoint {
  /** When each trusted witness says it saw this checkpoint, µs since 1970, earliest first. */
  witnessedUs: number[];
}

interface Logged {
  proof: LogProof;
  checkpoint: TrustedCheckpoint;
}

interface Proven {
  file: string;
  record: SignedRecord;
  logged: Logged | null;
}

/** A chain of custody is logged from time to time; records that are older than this have a logged one behind them. */
const CUSTODY_UNLOGGED_US = 3_600_000_000;

/** With one of these it is told already why a record is not proven. */
const unprovenCodes = ['FORMAT', 'LOG_INCLUSION', 'NOTE_SIG_BAD'] as const;
const TOLD_MAX = 1000;

/** Checks proofs, checkpoints and cosignatures, and that all checkpoints are of one log that only grew. */
export async function checkLog(context: Context): Promise<LogResult> {
  const compared: LogFacts = { size: null, records_since: 0, known: 0, not_compared: 0 };
  const result: LogResult = {
    manifestLogged: false,
    manifestIndex: null,
    openLogged: false,
    erasesLogged: new Set(),
    manifestCheckpointText: null,
    witnessedUs: null,
    witnessesCount: 0,
    notBeforeUs: null,
    progress: [],
    compared,
  };
  const progress = await readProgress(context);
  // Who trusts no log is told nothing by one.
  if (context.policy.logKeys.length === 0) {
    for (const name of context.files.keys()) if (name.startsWith('log/')) context.used.add(name);
    compared.not_compared = context.policy.knownCheckpoints.length;
    if (context.policy.logRequired || context.policy.witnessesRequired > 0)
      context.findings.add('L1', 'the policy requires a log or witnesses, and names the key of no log');
    return result;
  }
  const proven = await checkAllLogged(context);
  const [open, manifest] = (['open', 'manifest'] as const).map(
    (kind) => proven.find(({ record }) => record.kind === kind)?.logged ?? null,
  ) as [Logged | null, Logged | null];
  result.openLogged = open !== null;
  result.manifestLogged = manifest !== null;
  result.manifestIndex = manifest?.proof.index ?? null;
  const required = context.policy.witnessesRequired;
  result.erasesLogged = new Set(
    context.erases
      .filter(({ record }) => {
        const logged = proven.find((one) => one.record.sha256 === record.sha256)?.logged ?? null;
        const isBehind = logged !== null && (manifest === null || logged.proof.index > manifest.proof.index);
        return isBehind && logged.checkpoint.witnessedUs.length >= required;
      })
      .map(({ at }) => at),
  );
  const checkpoints = proven.flatMap(({ logged }) => (logged === null ? [] : [logged.checkpoint]));
  if (open !== null && manifest !== null && open.proof.index >= manifest.proof.index)
    context.findings.add('L2', 'the manifest was logged before the open record', {
      file: bundleNames.manifestProof,
    });
  result.progress = await checkProgressLogged(context, progress, checkpoints);
  const before = await openCheckpoint(context, open);
  if (before !== null) {
    checkpoints.push(before);
    result.notBeforeUs = before.witnessedUs.at(-1) ?? null;
  }
  const roots = await compareWithLog(context, checkpoints, proven, compared);
  await checkConsistency(context, checkpoints, roots, compared);
  if (manifest !== null) {
    result.manifestCheckpointText = manifest.checkpoint.note.text;
    countWitnesses(context, manifest.checkpoint, result);
  } else if (context.manifest !== null && required > 0 && !context.findings.has(...unprovenCodes))
    context.findings.add('L3', `none of ${required} witnesses cosigned a checkpoint over the manifest`, {
      file: bundleNames.manifestProof,
    });
  checkWitnessTimes(context, result);
  return result;
}

/** The proof of every record of the bundle that is logged, and of the last custody record that has one. */
async function checkAllLogged(context: Context): Promise<Proven[]> {
  const { open, manifest, resumes, erases } = context;
  const proven: Proven[] = [];
  const check = async (record: SignedRecord | null, file: string): Promise<void> => {
    if (record !== null) proven.push({ file, record, logged: await checkLogged(context, record, file) });
  };
  await check(open as SignedRecord | null, bundleNames.openProof);
  await check(manifest as SignedRecord | null, bundleNames.manifestProof);
  for (const { at, record } of resumes) await check(record as unknown as SignedRecord, bundleNames.resumeProof(at));
  for (const { at, record } of erases) await check(record as unknown as SignedRecord, bundleNames.eraseProof(at));
  const custody = await checkCustodyLogged(context);
  return custody === null ? proven : [...proven, custody];
}

/** The proof says by itself of which record it is: it holds for one of the chain, and through it for all before. */
async function checkCustodyLogged(context: Context): Promise<Proven | null> {
  const { custody, findings, open } = context;
  const file = bundleNames.custodyProof;
  const session = open === null ? null : loggedSession(open);
  const last = custody.at(-1);
  let covered = 0;
  let found: Proven | null = null;
  const read = await readProof(context, file);
  if (read !== null && session !== null) {
    const record = custody.findLast((one) => isIncluded(read, one as unknown as SignedRecord, session));
    if (record === undefined)
      findings.add('L4', 'the proof does not show that a custody record is in the log', { file });
    else {
      covered = record.body.sequence + 1;
      found = { file, record: record as unknown as SignedRecord, logged: read };
    }
  }
  const oldest = custody[covered];
  if (
    session?.logEntries === 2 &&
    context.policy.logRequired &&
    oldest !== undefined &&
    last !== undefined &&
    last.body.at_us - oldest.body.at_us > CUSTODY_UNLOGGED_US
  )
    findings.add('L5', `custody records from ${oldest.body.sequence} on are not shown to be logged`, {
      file,
    });
  return found;
}

/** Those of the heads that the log holds; `checkpoints` gets those their proofs lead to. */
async function checkProgressLogged(
  context: Context,
  heads: readonly ProgressFile[],
  checkpoints: TrustedCheckpoint[],
): Promise<ProvenHead[]> {
  const proven: ProvenHead[] = [];
  for (const head of heads) {
    const file = head.file.replace(/^progress\/(\d{4})\.json$/, 'log/progress-$1.tlog-proof');
    const logged = await readProof(context, file);
    const isThere =
      logged !== null &&
      verifyInclusion({
        leafHash: head.entryHash,
        index: logged.proof.index,
        size: logged.checkpoint.size,
        root: logged.checkpoint.root,
        proof: logged.proof.hashes,
      });
    if (isThere) {
      checkpoints.push(logged.checkpoint);
      proven.push({ ...head, logIndex: logged.proof.index });
    } else if (logged !== null || !context.files.has(file))
      context.findings.add('L24', 'the head is not shown to be in the log', { file: head.file });
  }
  return proven;
}

/** A checkpoint the policy's log keys vouch for, or null with the finding. */
async function trustedCheckpoint(context: Context, text: string, file: string): Promise<TrustedCheckpoint | null> {
  const checkpoint = await orFormat(context, file, () => parseSignedCheckpoint(text));
  if (checkpoint === null) return null;
  const key = context.policy.logKeys.find(({ name }) => name === checkpoint.origin);
  const state = key === undefined ? 'absent' : await checkNote(context.crypto, checkpoint.note, key);
  const { findings } = context;
  if (state === 'good') return { ...checkpoint, witnessedUs: await witnessTimes(context, checkpoint, file) };
  const { origin } = checkpoint;
  const check = state === 'bad' ? 'L6' : 'L7';
  const why = state === 'bad' ? `a checkpoint of ${origin} has a bad signature` : `the policy trusts no log ${origin}`;
  findings.once(`${check} ${text}`, check, why, { file });
  return null;
}

async function witnessTimes(context: Context, checkpoint: SignedCheckpoint, file: string): Promise<number[]> {
  const times: number[] = [];
  for (const witness of context.policy.witnesses) {
    const check = await checkCosignature(context.crypto, checkpoint.note, witness);
    if (check.state === 'good') times.push(check.timeSeconds * 1_000_000);
    if (check.state === 'bad')
      context.findings.once(
        `${witness.name} ${checkpoint.note.text}`,
        'L8',
        `the cosignature of ${witness.name} is bad`,
        { file },
      );
  }
  return times.sort((a, b) => a - b);
}

async function readProof(context: Context, file: string): Promise<Logged | null> {
  const bytes = await orFormat(context, file, () => smallFile(context, file));
  const proof = bytes === null ? null : await orFormat(context, file, () => parseLogProof(bytes));
  const checkpoint = proof === null ? null : await trustedCheckpoint(context, proof.checkpoint, file);
  return proof === null || checkpoint === null ? null : { proof, checkpoint };
}

function isIncluded({ proof, checkpoint }: Logged, record: SignedRecord, session: LoggedSession): boolean {
  const leafHash = hashLeaf(logEntry(record.kind, record.sha256, session));
  const { size, root } = checkpoint;
  return verifyInclusion({ leafHash, index: proof.index, size, root, proof: proof.hashes });
}

async function checkLogged(context: Context, record: SignedRecord, file: string): Promise<Logged | null> {
  const { findings, policy, open } = context;
  const logged = await readProof(context, file);
  if (logged === null) {
    if (policy.logRequired && !context.files.has(file))
      findings.add('L9', `the ${record.kind} record comes without a proof that it was logged`, { file });
    return null;
  }
  // Without the open record nobody knows what the entry would be.
  if (open !== null && isIncluded(logged, record, loggedSession(open))) return logged;
  if (open !== null)
    findings.add('L10', `the proof does not show that the ${record.kind} record is in the log`, { file });
  return null;
}

/** The checkpoint `open` names: the log as it stood before the recording began. */
async function openCheckpoint(context: Context, open: Logged | null): Promise<TrustedCheckpoint | null> {
  const text = context.open?.body.checkpoint ?? null;
  if (text === null) return null;
  const checkpoint = await trustedCheckpoint(context, text, bundleNames.open);
  if (checkpoint !== null && open !== null && open.proof.index < checkpoint.size)
    context.findings.add('L11', 'the open record names a checkpoint that already holds it', {
      file: bundleNames.open,
    });
  return checkpoint;
}

/**
 * With the log at hand: nothing of the session that was logged is left out, and what there is once is logged once. Answers the
 * roots the log had.
 */
async function compareWithLog(
  context: Context,
  checkpoints: readonly SignedCheckpoint[],
  proven: readonly Proven[],
  compared: LogFacts,
): Promise<ReadonlyMap<number, Uint8Array> | null> {
  const { log, findings, open, policy, custody, crypto } = context;
  if (log === undefined) return null;
  const session = open === null ? null : loggedSession(open);
  const about = session === null ? null : toHex(sessionSubject(session.sessionUuid));
  const here = new Set([...proven.map(({ record }) => record.sha256), ...custody.map(({ sha256 }) => sha256)]);
  // What was logged behind the bundle's proofs may have come after the export.
  const until = Math.max(0, ...proven.map(({ logged }) => logged?.checkpoint.size ?? 0));
  const isUnread = context.manifest === null && context.files.has(bundleNames.manifest);
  const told: ['L12' | 'L13', string][] = [];
  let sinceCount = 0;
  try {
    const { checkpoint, roots } = await scanLog(log, {
      crypto,
      keys: policy.logKeys,
      sizes: [...checkpoints, ...policy.knownCheckpoints].map(({ size }) => size),
      visit(index, fields) {
        if (fields?.subject == null || session === null) return;
        const { kind, recordSha256, subject } = fields;
        if (kind === 'audit' || kind === 'progress') return;
        const isOurs = kind === 'open' ? subject === about : subject === session.openSha256;
        if (!isOurs || here.has(recordSha256)) return;
        // It may be the one that can't be read, which is told.
        if (kind === 'manifest' && isUnread) return;
        const isSecond = kind === 'open' || (kind === 'manifest' && context.manifest !== null);
        if (!isSecond && index >= until) sinceCount += 1;
        else if (told.length < TOLD_MAX)
          told.push(
            isSecond
              ? ['L12', `entry ${index} of the log is another ${kind} record of this session`]
              : ['L13', `entry ${index} of the log is a ${kind} record that is not in the bundle`],
          );
      },
    });
    // Only now are they known to be the log's.
    for (const [check, message] of told) findings.add(check, message);
    compared.records_since = sinceCount;
    compared.size = checkpoint.size;
    for (const { origin, size, root } of checkpoints) {
      const there = origin === checkpoint.origin ? roots.get(size) : undefined;
      if (there === undefined || !equalBytes(there, root))
        findings.once(
          `log ${size}`,
          'L14',
          `the log of ${checkpoint.size} entries never was the one of ${size} that the bundle shows`,
        );
    }
    return roots;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    findings.add('L15', `the log can't be compared: ${error.message}`);
    return null;
  }
}

/** Every checkpoint must be shown to extend the next smaller one, and those that are known beside them. */
async function checkConsistency(
  context: Context,
  checkpoints: SignedCheckpoint[],
  roots: ReadonlyMap<number, Uint8Array> | null,
  compared: LogFacts,
): Promise<void> {
  const file = bundleNames.consistency;
  const { findings, policy, crypto } = context;
  const proofs = await orFormat(context, file, async () => {
    const bytes = await smallFile(context, file);
    return bytes === null ? [] : consistencySchema.parse(parseCanonicalJson(bytes, bytes.length), 'consistency');
  });
  const asked = new Set<object>();
  const extend = (first: SignedCheckpoint, second: SignedCheckpoint): 'yes' | 'no' | 'unknown' => {
    // Every log extends the empty one: there is nothing to be proven.
    const isEmpty = ({ size, root }: SignedCheckpoint): boolean => size === 0 && equalBytes(root, emptyRoot());
    if (first.size === 0) return isEmpty(first) && (second.size > 0 || isEmpty(second)) ? 'yes' : 'no';
    const found = proofs?.find((proof) => proof.first === first.size && proof.second === second.size);
    if (found !== undefined) asked.add(found);
    const proof = (found?.hashes ?? []).map((text) => fromHex(text, 32));
    const claim = { first: first.size, firstRoot: first.root, second: second.size, secondRoot: second.root, proof };
    if (verifyConsistency(claim)) return 'yes';
    return found === undefined && first.size !== second.size ? 'unknown' : 'no';
  };
  const ordered = checkpoints.toSorted((a, b) => a.size - b.size);
  for (const [at, second] of ordered.entries()) {
    const first = ordered[at - 1];
    if (first === undefined) continue;
    if (first.origin !== second.origin) findings.add('L16', 'the records are in different logs', { file });
    else if (extend(first, second) !== 'yes')
      findings.once(
        `extends ${first.size} ${second.size}`,
        'L17',
        `the log of ${second.size} entries is not shown to extend the one of ${first.size}`,
        { file },
      );
  }
  for (const known of policy.knownCheckpoints) {
    const key = policy.logKeys.find(({ name }) => name === known.origin);
    const isSigned = key !== undefined && (await checkNote(crypto, known.note, key)) === 'good';
    if (!isSigned) {
      compared.not_compared += 1;
      continue;
    }
    const others = ordered.filter(({ origin }) => origin === known.origin);
    const there = roots?.get(known.size);
    const answers = others.map((other) => (known.size <= other.size ? extend(known, other) : extend(other, known)));
    const isOther = (there !== undefined && !equalBytes(there, known.root)) || answers.includes('no');
    if (isOther) findings.add('L18', `the log showed another tree of ${known.size} entries elsewhere`, { file });
    if (isOther || there !== undefined || answers.includes('yes')) compared.known += 1;
    else compared.not_compared += 1;
  }
  // Of checkpoints that could not be read, or are nobody's, the proofs are left over: that is told already.
  if (findings.has(...unprovenCodes)) return;
  for (const proof of proofs ?? [])
    if (!asked.has(proof))
      findings.add('L19', `the proof from ${proof.first} to ${proof.second} entries is between no checkpoints here`, {
        file,
      });
}

function countWitnesses(context: Context, { witnessedUs }: TrustedCheckpoint, result: LogResult): void {
  const { witnessesRequired } = context.policy;
  result.witnessesCount = witnessedUs.length;
  // With n required, the n-th earliest is the first moment at which enough of them had seen it.
  result.witnessedUs = witnessedUs[Math.max(0, witnessesRequired - 1)] ?? null;
  if (witnessedUs.length < witnessesRequired)
    context.findings.add('L20', `${witnessedUs.length} of ${witnessesRequired} witnesses cosigned the checkpoint`, {
      file: bundleNames.manifestProof,
    });
}

function checkWitnessTimes(context: Context, result: LogResult): void {
  const { findings, manifest, open, policy } = context;
  if (
    manifest !== null &&
    result.witnessedUs !== null &&
    result.witnessedUs + policy.clockToleranceUs < manifest.body.ended_us
  )
    findings.add('L21', 'witnesses saw the manifest before the recording ended', { file: bundleNames.manifest });
  if (
    open !== null &&
    result.notBeforeUs !== null &&
    result.notBeforeUs - policy.clockToleranceUs > open.body.opened_us
  )
    findings.add('L22', 'the recording says it began before the checkpoint it names', {
      file: bundleNames.open,
    });
}
