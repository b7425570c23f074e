import { DecodeError } from '@lucid-sessions/wire';
import {
  bundleNames,
  CUSTODY_BYTES_MAX,
  CUSTODY_RECORDS_MAX,
  NUMBERED_BYTES_MAX,
  NUMBERED_MAX,
  SMALL_FILE_BYTES_MAX,
} from '../bundle/files.ts';
import type { BodyOf, CustodyBody, ManifestBody, RecordBody, RecordKind } from '../record/bodies.ts';
import { keyIdOf, type PublicKey, parsePublicKey } from '../record/public-key.ts';
import { checkRecord, type RecordCheck, readRecordOf, type SignedRecord } from '../record/record.ts';
import { toHex } from '../text.ts';
import { type Context, clockAllowanceUs, clockStepsUs, importedOf, orFormat, smallFile } from './context.ts';

/** The wall clock a record speaks of, for the span its key is trusted in. */
function timeOf(body: RecordBody): number {
  switch (body.kind) {
    case 'open':
      return body.opened_us;
    case 'manifest':
      return body.ended_us;
    case 'resume':
      return body.resumed_us;
    case 'custody':
    case 'erase':
    case 'export':
    case 'redaction':
      return body.at_us;
    case 'replay':
      return body.examined_us;
  }
}

/** Keys the recording itself names: enough to tell a bad signature from an unknown signer, never enough to trust. */
function namedKeys(context: Context, record: SignedRecord): PublicKey[] {
  const texts = [context.open?.body.recorder.identity_key];
  if (record.body.kind === 'open') texts.push(record.body.recorder.identity_key);
  if (record.body.kind === 'manifest') texts.push(record.body.keys.identity_key);
  return texts.flatMap((text) => {
    const key = text === undefined ? null : knownKey(context, text);
    return key === null ? [] : [key];
  });
}

function knownKey({ namedKeys: known }: Context, text: string): PublicKey | null {
  const key = known.get(text) ?? keyOf(text);
  known.set(text, key);
  return key;
}

function keyOf(text: string): PublicKey | null {
  try {
    return parsePublicKey(text);
  } catch {
    return null;
  }
}

/** `trusted`: by the policy. `named`: only by a key the recording itself names. `none`: not to be used for anything. */
interface Standing {
  word: 'trusted' | 'named' | 'none';
  /** Id of the key that signed it; null: none that is known did. */
  signer: string | null;
}

/** Whether a key that is trusted or named signed it. */
function checkSignature(context: Context, record: SignedRecord): Promise<RecordCheck> {
  const trusted = context.policy.identityKeys.map(({ key }) => key);
  return checkRecord(context.crypto, record, [...trusted, ...namedKeys(context, record)]);
}

/** Checks signature, signer and session of a record. */
async function checkSigned(context: Context, record: SignedRecord, file: string): Promise<Standing> {
  return judgeSigned(context, record, file, await checkSignature(context, record));
}

function judgeSigned(context: Context, record: SignedRecord, file: string, check: RecordCheck): Standing {
  const { findings, policy } = context;
  if (check.finding === 'SIG_BAD') findings.add('R1', `the signature of the ${record.kind} record is bad`, { file });
  const sessionId = context.open?.body.session_id ?? record.body.session_id;
  if (record.body.session_id !== sessionId)
    findings.add('R3', `the ${record.kind} record belongs to session ${record.body.session_id}`, { file });
  if (check.finding === 'SIG_BAD') return { word: 'none', signer: null };
  const at = timeOf(record.body);
  const signer = check.signedBy === null ? null : keyIdOf(check.signedBy);
  const known = policy.identityKeys.some(
    ({ key, validFromUs, validToUs }) => keyIdOf(key) === signer && at >= validFromUs && at <= validToUs,
  );
  // Of a long chain by one stranger the first is told.
  if (!known)
    findings.once(
      `stranger ${record.kind} ${signer}`,
      'R2',
      `the ${record.kind} record is signed by a key the policy does not trust for it`,
      { file },
    );
  if (record.body.session_id !== sessionId || signer === null) return { word: 'none', signer };
  return { word: known ? 'trusted' : 'named', signer };
}

interface Found<K extends RecordKind> {
  record: SignedRecord<BodyOf<K>>;
  standing: Standing;
}

async function readOne<K extends RecordKind>(context: Context, kind: K, file: string): Promise<Found<K> | null> {
  const bytesMax = kind === 'resume' || kind === 'erase' ? NUMBERED_BYTES_MAX : SMALL_FILE_BYTES_MAX;
  const bytes = await orFormat(context, file, () => smallFile(context, file, bytesMax));
  if (bytes === null) return null;
  const record = await orFormat(context, file, () => readRecordOf(kind, bytes));
  if (record === null) return null;
  return { record, standing: await checkSigned(context, record as unknown as SignedRecord, file) };
}

/** Reads all records, and checks that they speak of one session and of each other. */
export async function checkRecords(context: Context): Promise<void> {
  await checkOpen(context);
  await checkExport(context);
  const { findings } = context;
  const manifest = await readOne(context, 'manifest', bundleNames.manifest);
  context.manifest = manifest?.record ?? null;
  if (!context.files.has(bundleNames.manifest)) findings.add('R5', 'the recording has no signed manifest');
  await checkResumes(context);
  if (manifest !== null) checkManifest(context, manifest);
  checkImported(context);
  await checkReplayRecord(context);
  await readErases(context);
  await checkCustody(context);
}

/** The key a record names as its recorder's is the one that signed it. */
function checkNamedKey(context: Context, { standing, record }: Found<RecordKind>, named: string, file: string): void {
  const key = keyOf(named);
  if (key === null) context.findings.add('R6', `the ${record.kind} record names no key`, { file });
  else if (standing.signer !== null && keyIdOf(key) !== standing.signer)
    context.findings.add('R7', `the ${record.kind} record names another key than signed it`, { file });
}

async function checkOpen(context: Context): Promise<void> {
  const { findings, description } = context;
  const file = bundleNames.open;
  const found = await readOne(context, 'open', file);
  context.open = found?.record ?? null;
  if (!context.files.has(file)) findings.add('R4', 'the bundle holds no open record', { file });
  if (found === null) return;
  const { body } = found.record;
  if (description !== null && description.session_id !== body.session_id)
    findings.add('B13', 'bundle.json names another session than the open record', { file: bundleNames.bundle });
  checkNamedKey(context, found as Found<RecordKind>, body.recorder.identity_key, file);
  if ((body.encryption === 'none') !== (body.dek_id === null))
    findings.add('R8', 'the open record names a key and no encryption, or the other way round', { file });
  const build = body.recorder.build?.package_sha256 ?? null;
  const { builds = null } = context.policy;
  if (builds !== null && (build === null || !builds.includes(build)))
    findings.add(
      'R30',
      build === null ? 'it names no published build' : `the policy does not list the build ${build}`,
      {
        file,
      },
    );
}

/** Signed over `bundle.json`, and so over every small file. */
async function checkExport(context: Context): Promise<void> {
  if (context.stored === true) return;
  const { findings } = context;
  const file = bundleNames.export;
  const found = await readOne(context, 'export', file);
  if (!context.files.has(file)) findings.add('B17', 'nobody signed that these are the files of a bundle', { file });
  if (found === null) return;
  const { record } = found;
  const bytes = await orFormat(context, bundleNames.bundle, () => smallFile(context, bundleNames.bundle, 32 << 20));
  if (bytes === null) return;
  const sha256 = toHex(await context.crypto.sha256(bytes));
  if (record.body.bundle_sha256 !== sha256)
    findings.add('B18', 'the export record is signed over another bundle.json', { file });
}

async function checkResumes(context: Context): Promise<void> {
  for (let at = 0; at < NUMBERED_MAX && context.files.has(bundleNames.resume(at)); at += 1) {
    const file = bundleNames.resume(at);
    const found = await readOne(context, 'resume', file);
    if (found === null) continue;
    const { record, standing } = found;
    if (context.open !== null && record.body.open_sha256 !== context.open.sha256)
      context.findings.add('R9', 'a resume record continues another open record', { file });
    // A resume brings new seal keys in: one by a stranger must not explain away a broken chain. One by the key the open
    // record names may, as that key's being untrusted is a finding already.
    else if (standing.word !== 'none') context.resumes.push({ at, record });
  }
}

function gapText({ from_us, to_us, frames_lost: lost, reason }: BodyOf<'manifest'>['gaps'][number]): string {
  if (lost > 0) return `${lost} frames are missing: ${reason}`;
  if (to_us === null) return `an unknown number of frames are missing: ${reason}`;
  return `nothing was recorded for ${((to_us - from_us) / 1_000_000).toFixed(1)} s: ${reason}`;
}

/** Said by either record it counts: who signs both must not be able to leave it out of one. */
function checkImported(context: Context): void {
  const { findings, manifest, open } = context;
  const imported = importedOf(context);
  if (imported === null) return;
  const { by, source_name: name, source_sha256: sha256 } = imported;
  findings.add('R18', `imported by ${by} from ${JSON.stringify(name)} (SHA-256 ${sha256})`, {
    file: bundleNames.open,
  });
  const said = [open, manifest].map((record) => record && JSON.stringify(record.body.imported ?? null));
  if (open !== null && manifest !== null && said[0] !== said[1])
    findings.add('R19', 'the manifest and the open record do not say the same of where it was imported from', {
      file: bundleNames.manifest,
    });
}

function isClockTold({ clock, clock_checks: checks = [] }: ManifestBody): boolean {
  const last = checks.findLast(({ offset_us }) => offset_us !== null) ?? checks.at(-1);
  if (last === undefined) return true;
  const isSame = clock.offset_us === last.offset_us && clock.source === last.source;
  return isSame && checks.every(({ offset_us, error_us }) => (offset_us === null) === (error_us === null));
}

function isClockWithin({ clock_checks: checks = [] }: ManifestBody, limitUs: number): boolean {
  const measured = checks.filter(({ offset_us }) => offset_us !== null);
  return (
    measured.length > 0 &&
    measured.every(({ offset_us, error_us }) => Math.abs(offset_us ?? 0) + (error_us ?? 0) <= limitUs)
  );
}

/** What the manifest repeats of `open`, and what it names, is what is there. */
function checkManifest(context: Context, found: Found<'manifest'>): void {
  const { findings, open, policy } = context;
  const { body } = found.record;
  const where = { file: bundleNames.manifest };
  const resumes = context.resumes.map(({ record }) => record.sha256);
  if (open !== null) {
    if (body.open_sha256 !== open.sha256) findings.add('R10', 'the manifest closes another open record', where);
    for (const [what, same] of [
      ['opened_us', body.opened_us === open.body.opened_us],
      ['persistence', body.persistence === open.body.policy.persistence],
      ['keys.dek_id', body.keys.dek_id === open.body.dek_id],
    ] as const)
      if (!same) findings.add('R11', `${what} of the manifest is not that of the open record`, where);
  }
  checkNamedKey(context, found as Found<RecordKind>, body.keys.identity_key, where.file);
  if (resumes.length !== body.resumes_sha256.length || resumes.some((hash, at) => hash !== body.resumes_sha256[at]))
    findings.add('R12', 'the resume records are not those the manifest names', where);
  if (body.chunks_count === 0) findings.add('R13', 'the manifest is over no chunk: nothing was recorded', where);
  if (body.ended_us + clockAllowanceUs(context) < body.opened_us)
    findings.add('R14', 'the manifest ends before the recording began', where);
  if (clockStepsUs(context) > policy.clockStepUs)
    findings.add('R15', 'the manifest declares larger steps of the clock than the policy takes', where);
  if (!isClockTold(body))
    findings.add('R29', 'what the manifest says of the clock is not what it was compared to', where);
  const limitUs = policy.clockOffsetUs ?? null;
  if (limitUs !== null && importedOf(context) === null && !isClockWithin(body, limitUs))
    findings.add('R32', `the recorder's clock is not shown to have been within ${limitUs / 1000} ms`, where);
  for (const gap of body.gaps) findings.add('R16', gapText(gap), where);
  if (body.gaps.length === 0 && body.statistics.frames_dropped > 0)
    findings.add('R17', `${body.statistics.frames_dropped} frames were dropped`, where);
}

/** It is made behind the manifest, which it names; one by a stranger tells nothing. */
async function checkReplayRecord(context: Context): Promise<void> {
  const file = bundleNames.replay;
  const found = await readOne(context, 'replay', file);
  if (found === null) return;
  const { record, standing } = found;
  if (record.body.manifest_sha256 !== context.manifest?.sha256)
    context.findings.add('R20', 'the replay record is about another manifest', { file });
  else if (standing.word !== 'none') context.replay = record;
}

async function readErases(context: Context): Promise<void> {
  for (let at = 0; at < NUMBERED_MAX && context.files.has(bundleNames.erase(at)); at += 1) {
    const found = await readOne(context, 'erase', bundleNames.erase(at));
    if (found?.standing.word === 'trusted') context.erases.push({ at, record: found.record });
  }
}

/** Signatures of the custody chain that are checked beside each other. */
const CUSTODY_AHEAD = 64;

function linesIn(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) count += 1;
  return count;
}

/** One envelope per line, each naming the one before: a line taken out of the middle shows, one from the end does not. */
async function checkCustody(context: Context): Promise<void> {
  const file = bundleNames.custody;
  const { findings } = context;
  const bytes = await orFormat(context, file, () => smallFile(context, file, CUSTODY_BYTES_MAX));
  if (bytes === null) return;
  if (linesIn(bytes) > CUSTODY_RECORDS_MAX) {
    findings.add('R31', `the chain of custody has more than ${CUSTODY_RECORDS_MAX} records: none was read`, { file });
    return;
  }
  const waiting: { record: SignedRecord<CustodyBody>; check: Promise<RecordCheck> }[] = [];
  /** Judges what waits, in order, until `left` wait; false: the chain broke there. */
  const judge = async (left: number): Promise<boolean> => {
    while (waiting.length > left) {
      const { record, check } = waiting.shift()!;
      judgeSigned(context, record as unknown as SignedRecord, file, await check);
      const { sequence, previous_sha256: previous } = record.body;
      if (sequence !== context.custody.length || previous !== (context.custody.at(-1)?.sha256 ?? null)) {
        findings.add('R22', `custody record ${sequence} does not follow the one before it`, { file });
        return false;
      }
      context.custody.push(record);
    }
    return true;
  };
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0x0a, start);
    if (end < 0 || end - start > SMALL_FILE_BYTES_MAX) {
      if (await judge(0)) findings.add('R21', 'a line of the custody file is cut or too long', { file });
      return;
    }
    let record: SignedRecord<CustodyBody>;
    try {
      record = readRecordOf('custody', bytes.subarray(start, end));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      if (await judge(0)) findings.add('B4', error.message, { file });
      return;
    }
    start = end + 1;
    waiting.push({ record, check: checkSignature(context, record as unknown as SignedRecord) });
    if (!(await judge(CUSTODY_AHEAD))) return;
  }
  await judge(0);
}
