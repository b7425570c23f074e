import { type BundleDescription, type BundleWrap, bundleNames, bundleSchema, wrapsSchema } from '../bundle/files.ts';
import { BUNDLE_FILES_MAX, BUNDLE_NAME, type BundleSource, readWhole } from '../bundle/source.ts';
import { DEK_BYTES } from '../envelope/chunk.ts';
import { parseCanonicalJson } from '../record/json.ts';
import { toHex } from '../text.ts';
import { checkAnchors } from './anchors.ts';
import { type ChainResult, checkChain } from './chain.ts';
import { ChunkCheck } from './chunks.ts';
import {
  type Context,
  clockAllowanceUs,
  type FoundKey,
  importedOf,
  orFormat,
  smallFile,
  type VerifyOptions,
} from './context.ts';
import { checkErases } from './erases.ts';
import { Findings } from './findings.ts';
import { checkLog } from './log.ts';
import { ProgressCheck } from './progress.ts';
import { checkRecords } from './records.ts';
import { checkReplay } from './replay.ts';
import { makeReport, type VerificationReport } from './report.ts';

const CHUNK_NAME = /^chunks\/\d{8,16}\.lsc$/;
const KNOWN_NAME =
  /^(?:(?:resume|erase)\/\d{4}\.dsse\.json|log\/(?:(?:open|manifest|custody|(?:resume|erase|progress)-\d{4})\.tlog-proof|consistency\.json)|(?:anchors|progress)\/\d{4}\.json|keys\/wraps\.json|(?:open|manifest|replay|export)\.dsse\.json|custody\.jsonl|proofs\.json|leaves\.bin|bundle\.json)$/;

const NO_DESCRIPTION: BundleDescription = {
  v: 2,
  kind: 'lucid-sessions-evidence',
  session_id: '-',
  partial: null,
  leaves: { count: 0, last_hash: null },
  files: [],
};

/**
 * Verifies a bundle against a trust policy. Needs no server and no decryption key; tampering is answered with findings,
 * never thrown. Memory is bounded by a few chunk files and the list of names, whatever the length of the recording.
 */
export async function verifyBundle(source: BundleSource, options: VerifyOptions): Promise<VerificationReport> {
  const { replay: walker, ...rest } = options;
  const context: Context = {
    ...rest,
    source,
    files: new Map(),
    findings: new Findings(),
    states: new Set(),
    description: NO_DESCRIPTION,
    open: null,
    manifest: null,
    namedKeys: new Map(),
    used: new Set(),
    resumes: [],
    erases: [],
    custody: [],
    replay: null,
    erased: { keys: false, chunks: false },
  };
  await listFiles(context);
  await readDescription(context);
  await checkFileHashes(context);
  await checkRecords(context);
  const log = await checkLog(context);
  checkErases(context, log);
  const key = await findKey(context);
  const chunks = new ChunkCheck(context, key.dek, walker);
  const progress = new ProgressCheck(context, log.progress, log.manifestIndex);
  const chain = await checkChain(context, async (leaf, bytes) => {
    progress.leaf(leaf, bytes);
    await chunks.check(leaf);
    options.progress?.(chunks.checkedCount);
  });
  chunks.end();
  checkAgainstManifest(context, chain, chunks);
  progress.end(chain);
  const anchors = await checkAnchors(context, log);
  checkLeftOver(context);
  const replay = checkReplay(context, await chunks.walked());
  return makeReport(context, { chain, chunks, log, anchors, key, replay });
}

async function listFiles(context: Context): Promise<void> {
  const list = await context.source.list();
  if (list.length > BUNDLE_FILES_MAX)
    context.findings.add('B1', `the bundle holds more than ${BUNDLE_FILES_MAX} files`);
  for (const file of list.slice(0, BUNDLE_FILES_MAX)) {
    if (!BUNDLE_NAME.test(file.name) || !(KNOWN_NAME.test(file.name) || file.name.startsWith('chunks/')))
      context.findings.add('B2', `${JSON.stringify(file.name.slice(0, 100))} is not a file of a bundle`);
    else context.files.set(file.name, file);
    if (file.name.startsWith('chunks/') && !CHUNK_NAME.test(file.name))
      context.findings.add('B3', `${JSON.stringify(file.name.slice(0, 100))} is not the name of a chunk`);
  }
}

async function readDescription(context: Context): Promise<void> {
  const file = bundleNames.bundle;
  const description = await orFormat(context, file, async () => {
    const bytes = await smallFile(context, file, 32 << 20);
    return bytes === null ? null : bundleSchema.parse(parseCanonicalJson(bytes, 32 << 20), 'bundle');
  });
  if (!context.files.has(file)) context.findings.add('B5', 'the bundle holds no bundle.json', { file });
  if (description === null) return;
  const { partial } = description;
  if (partial !== null && partial.first_chunk > partial.last_chunk) {
    context.findings.add('B6', 'the range of the part makes no sense', { file });
    return;
  }
  context.description = description;
}

const unlisted: ReadonlySet<string> = new Set([bundleNames.bundle, bundleNames.leaves, bundleNames.export]);

/** The small files are those `bundle.json` lists, which the `export` record is signed over. */
async function checkFileHashes(context: Context): Promise<void> {
  const listed = new Map(context.description.files.map(({ name, sha256 }) => [name, sha256]));
  const isOdd = [...listed.keys()].some((name) => name.startsWith('chunks/') || unlisted.has(name));
  if (isOdd || listed.size !== context.description.files.length)
    context.findings.add('B7', 'bundle.json lists a file twice, or one that does not belong in its list', {
      file: bundleNames.bundle,
    });
  for (const [name, hash] of listed) {
    const file = context.files.get(name);
    const bytes =
      file === undefined ? null : await orFormat(context, name, () => readWhole(context.source, file, 64 << 20));
    // A missing record, proof or chunk has a finding of its own.
    if (bytes === null) context.findings.add('B8', `${name} is listed and not there`, { file: name });
    else if (toHex(await context.crypto.sha256(bytes)) !== hash)
      context.findings.add('B9', `${name} is not the file that was exported`, { file: name });
  }
  for (const name of context.files.keys())
    if (!listed.has(name) && !name.startsWith('chunks/') && !unlisted.has(name))
      context.findings.add('B10', `${name} is not listed in bundle.json`, { file: name });
}

async function findKey(context: Context): Promise<FoundKey> {
  const file = bundleNames.wraps;
  const wraps = await orFormat(context, file, async () => {
    const bytes = await smallFile(context, file);
    return bytes === null ? [] : wrapsSchema.parse(parseCanonicalJson(bytes, bytes.length), 'wraps');
  });
  const wrapsCount = wraps?.length ?? 0;
  const { open, findings } = context;
  // Keys of another session would blame its chunks.
  const strange = open !== null && wraps?.some(({ key_id }) => key_id !== open.body.dek_id) === true;
  if (strange) findings.add('B14', 'the wrapped keys are of another recording', { file });
  const dek = context.dek ?? (wrapsCount > 0 && !strange ? await unwrap(context, wraps ?? []) : null);
  if (dek instanceof Uint8Array && dek.length !== DEK_BYTES) throw new RangeError(`a DEK has ${DEK_BYTES} bytes`);
  return { dek, wrapsCount };
}

/** A wrap that is for the caller's key and damaged is a finding; an unreachable key service is the caller's error. */
async function unwrap(context: Context, wraps: BundleWrap[]): Promise<Uint8Array | null> {
  try {
    return (await context.unwrap?.(wraps)) ?? null;
  } catch (error) {
    if (!(error instanceof Error) || (error as { code?: unknown }).code !== 'damaged') throw error;
    context.findings.add('B15', error.message, { file: bundleNames.wraps });
    return null;
  }
}

/** The leaves lie inside the time the manifest gives, and its figures are those of what was read. */
function checkAgainstManifest(context: Context, chain: ChainResult, chunks: ChunkCheck): void {
  const { manifest, findings } = context;
  if (manifest === null || chain.firstOpenedUs === null) return;
  const { body } = manifest;
  const where = { file: bundleNames.manifest };
  const allowanceUs = clockAllowanceUs(context);
  if (chain.firstOpenedUs > body.ended_us + allowanceUs)
    findings.add('C19', 'the first chunk opened after the manifest says the recording ended', where);
  else if (importedOf(context) === null && context.description.partial === null) {
    const aheadUs = (chain.lastClosedUs ?? body.ended_us) - body.ended_us;
    if (aheadUs > allowanceUs + context.policy.clockToleranceUs)
      findings.add('C20', 'the last chunk closed after the manifest says the recording ended', where);
  }
  const { frames_count: count } = body.statistics;
  const isRead = chunks.readCount === body.chunks_count && chunks.readCount > 0;
  // Before entries of form 2 it was what the recorder had seen, stored or not.
  const isStored = context.open?.body.log_entries === 2;
  if (isRead && isStored && count !== null && count !== chunks.framesCount)
    findings.add('R28', `the manifest counts ${count} frames, and ${chunks.framesCount} are here`, where);
}

/** The proof of a record that can't be read is not looked at; the record is told. */
const recordOfProof = (name: string): string =>
  name
    .replace(/^log\/(open|manifest)\.tlog-proof$/, '$1.dsse.json')
    .replace(/^log\/(resume|erase)-(\d{4})\.tlog-proof$/, '$1/$2.dsse.json')
    .replace(/^log\/progress-(\d{4})\.tlog-proof$/, 'progress/$1.json')
    .replace(/^log\/custody\.tlog-proof$/, bundleNames.custody);

/** What no part of the verification asked for: a numbered file behind a hole, the proof of a record that is not there. */
function checkLeftOver({ files, used, findings }: Context): void {
  for (const name of files.keys())
    if (!used.has(name) && !name.startsWith('chunks/') && !used.has(recordOfProof(name)))
      findings.add('B12', `nothing in the bundle leads to ${name}`, { file: name });
}
