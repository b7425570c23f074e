import { bundleNames, CUSTODY_BYTES_MAX, SMALL_FILE_BYTES_MAX } from '../bundle/files.ts';
import type { BodyOf, RecordBody, RecordKind } from '../record/bodies.ts';
import { keyIdOf, type PublicKey, parsePublicKey } from '../record/public-key.ts';
import { checkRecord, readRecordOf, type SignedRecord } from '../record/record.ts';
import { type Context, clockAllowanceUs, importedOf, orFormat, smallFile } from './context.ts';

const RESUMES_MAX = 1000;

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
    try {
      return text === undefined ? [] : [parsePublicKey(text)];
    } catch {
      return [];
    }
  });
}

/** `trusted`: by the policy. `named`: only by a key the recording itself names. `none`: not to be used for anything. */
type Standing = 'trusted' | 'named' | 'none';

/** Checks signature, signer and session of a record. */
async function checkSigned(context: Context, record: SignedRecord, file: string): Promise<Standing> {
  const { findings, policy } = context;
  const trusted = policy.identityKeys.map(({ key }) => key);
  const check = await checkRecord(context.crypto, record, [...trusted, ...namedKeys(context, record)]);
  if (check.finding === 'SIG_BAD')
    findings.add('SIG_BAD', `the signature of the ${record.kind} record is bad`, { file });
  const sessionId = context.open?.body.session_id ?? record.body.session_id;
  if (record.body.session_id !== sessionId)
    findings.add('SPLICED', `the ${record.kind} record belongs to session ${record.body.session_id}`, { file });
  if (check.finding === 'SIG_BAD') return 'none';
  const at = timeOf(record.body);
  const signedBy = check.signedBy === null ? null : keyIdOf(check.signedBy);
  const known = policy.identityKeys.some(
    ({ key, validFromUs, validToUs }) => keyIdOf(key) === signedBy && at >= validFromUs && at <= validToUs,
  );
  if (!known)
    findings.add('KEY_UNTRUSTED', `the ${record.kind} record is signed by a key the policy does not trust for it`, {
      file,
    });
  if (record.body.session_id !== sessionId || check.signedBy === null) return 'none';
  return known ? 'trusted' : 'named';
}

async function readOne<K extends RecordKind>(
  context: Context,
  kind: K,
  file: string,
): Promise<{ record: SignedRecord<BodyOf<K>>; standing: Standing } | null> {
  const bytes = await orFormat(context, file, () => smallFile(context, file));
  if (bytes === null) return null;
  const record = await orFormat(context, file, () => readRecordOf(kind, bytes));
  if (record === null) return null;
  return { record, standing: await checkSigned(context, record as unknown as SignedRecord, file) };
}

/** Reads `open`, `manifest`, `resume` and `erase`, and checks that they speak of one session. */
export async function checkRecords(context: Context): Promise<void> {
  const { findings } = context;
  context.open = (await readOne(context, 'open', bundleNames.open))?.record ?? null;
  if (!context.files.has(bundleNames.open))
    findings.add('FORMAT', 'the bundle holds no open record', { file: bundleNames.open });
  if (context.open !== null && context.description.session_id !== context.open.body.session_id)
    findings.add('SPLICED', 'bundle.json names another session than the open record', { file: bundleNames.bundle });
  context.manifest = (await readOne(context, 'manifest', bundleNames.manifest))?.record ?? null;
  if (!context.files.has(bundleNames.manifest)) findings.add('UNCLOSED', 'the recording has no signed manifest');
  await checkResumes(context);
  checkManifest(context);
  checkImported(context);
  await checkReplayRecord(context);
  await checkErases(context);
  await checkCustody(context);
}

async function checkResumes(context: Context): Promise<void> {
  for (let at = 0; at < RESUMES_MAX && context.files.has(bundleNames.resume(at)); at += 1) {
    const found = await readOne(context, 'resume', bundleNames.resume(at));
    if (found === null) continue;
    const { record, standing } = found;
    if (context.open !== null && record.body.open_sha256 !== context.open.sha256)
      context.findings.add('SPLICED', 'a resume record continues another open record', {
        file: bundleNames.resume(at),
      });
    // A resume brings new seal keys in: one by a stranger must not explain away a broken chain. One by the key the open
    // record names may, as that key's being untrusted is a finding already.
    else if (standing !== 'none') context.resumes.push(record);
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
  findings.add('IMPORTED', `imported by ${by} from ${JSON.stringify(name)} (SHA-256 ${sha256})`, {
    file: bundleNames.open,
  });
  const said = [open, manifest].map((record) => record && JSON.stringify(record.body.imported ?? null));
  if (open !== null && manifest !== null && said[0] !== said[1])
    findings.add('SPLICED', 'the manifest and the open record do not say the same of where it was imported from', {
      file: bundleNames.manifest,
    });
}

function checkManifest(context: Context): void {
  const { findings, manifest, open } = context;
  if (manifest === null) return;
  const { body } = manifest;
  const where = { file: bundleNames.manifest };
  if (open !== null && body.open_sha256 !== open.sha256)
    findings.add('SPLICED', 'the manifest closes another open record', where);
  const resumes = context.resumes.map(({ sha256 }) => sha256);
  if (resumes.length !== body.resumes_sha256.length || resumes.some((hash, at) => hash !== body.resumes_sha256[at]))
    findings.add('SPLICED', 'the resume records are not those the manifest names', where);
  if (
    body.ended_us + clockAllowanceUs(context) < body.opened_us ||
    (open !== null && body.opened_us < open.body.opened_us)
  )
    findings.add('TIME_ORDER', 'the manifest ends before the recording began', where);
  for (const gap of body.gaps) findings.add('GAP', gapText(gap), where);
  if (body.gaps.length === 0 && body.statistics.frames_dropped > 0)
    findings.add('GAP', `${body.statistics.frames_dropped} frames were dropped`, where);
}

/** It is made behind the manifest, which it names; one by a stranger tells nothing. */
async function checkReplayRecord(context: Context): Promise<void> {
  const file = bundleNames.replay;
  const found = await readOne(context, 'replay', file);
  if (found === null) return;
  const { record, standing } = found;
  if (record.body.manifest_sha256 !== context.manifest?.sha256)
    context.findings.add('SPLICED', 'the replay record is about another manifest', { file });
  else if (standing !== 'none') context.replay = record;
}

async function checkErases(context: Context): Promise<void> {
  for (let at = 0; at < RESUMES_MAX && context.files.has(bundleNames.erase(at)); at += 1) {
    const found = await readOne(context, 'erase', bundleNames.erase(at));
    if (found?.standing !== 'trusted') continue;
    context.states.add('SHREDDED');
    const { erased } = found.record.body;
    if (erased !== 'chunks') context.erased.keys = true;
    if (erased !== 'keys') context.erased.chunks = true;
  }
}

/** One envelope per line, each naming the one before: a line taken out of the middle shows, one from the end does not. */
async function checkCustody(context: Context): Promise<void> {
  const file = bundleNames.custody;
  const bytes = await orFormat(context, file, () => smallFile(context, file, CUSTODY_BYTES_MAX));
  if (bytes === null) return;
  let previous: string | null = null;
  let sequence = 0;
  for (let start = 0; start < bytes.length; sequence += 1) {
    const end = bytes.indexOf(0x0a, start);
    if (end < 0 || end - start > SMALL_FILE_BYTES_MAX) {
      context.findings.add('FORMAT', 'a line of the custody file is cut or too long', { file });
      return;
    }
    const line = bytes.subarray(start, end);
    start = end + 1;
    const record = await orFormat(context, file, () => readRecordOf('custody', line));
    if (record === null) return;
    await checkSigned(context, record as unknown as SignedRecord, file);
    if (record.body.sequence !== sequence || record.body.previous_sha256 !== previous) {
      context.findings.add('SPLICED', `custody record ${record.body.sequence} does not follow the one before it`, {
        file,
      });
      return;
    }
    previous = record.sha256;
  }
}
