/** `redact verify`: whether a redacted copy is what its record says, and shows the recording but for what was taken out. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import {
  bundleNames,
  checkRecord,
  isEventRemoved,
  keyIdOf,
  oneLine,
  type PublicKey,
  planProblem,
  REDACTION_RULES,
  type RedactableEvent,
  type RedactionBody,
  readRecordOf,
  readWhole,
  type SignedRecord,
  SMALL_FILE_BYTES_MAX,
  type TrustPolicy,
} from '@lucid-sessions/evidence';
import { openBundle } from '@lucid-sessions/files';
import { nodeCrypto } from '@lucid-sessions/node';
import { checkedEvent, type IndexEvent, withoutInputs } from '@lucid-sessions/recording/session-index';
import { DecodeError } from '@lucid-sessions/wire';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, type Output } from '../cli/output.ts';
import { openRecording, type Recording } from './recording-reader.ts';
import { recordsName } from './redact.ts';
import { copyNames, eventsText, FrameHashes, redactedEvents, sha256Of, videoOptionsOf } from './redact-render.ts';
import { VideoComparer } from './redact-video.ts';
import { interruptible } from './replay.ts';
import { readPolicy } from './verify.ts';
import { shootPictures } from './video.ts';

export interface RedactionReport {
  clean: boolean;
  /** `record`: what is signed fits the files. `original`: the pictures are the recording's but for what was taken out; null: not compared. */
  checked: { record: boolean; original: boolean | null };
  findings: string[];
  redaction: RedactionBody;
}

const textBytesMax = 64 << 20;

async function readCopy(folder: string): Promise<SignedRecord<RedactionBody>> {
  try {
    return readRecordOf('redaction', await readFile(join(folder, copyNames.record)));
  } catch (error) {
    if (error instanceof DecodeError) throw new CliError(`${folder} is no redacted copy: ${error.message}`);
    throw new CliError(`${folder} is no redacted copy: it has no ${copyNames.record}`, exitCodes.usage);
  }
}

/** Reads a text of the copy; null where it is missing, too long or none. */
async function jsonIn(folder: string, name: string): Promise<unknown> {
  try {
    const bytes = await readFile(join(folder, name));
    return bytes.length > textBytesMax ? null : JSON.parse(bytes.toString('utf8'));
  } catch {
    return null;
  }
}

async function checkFiles(folder: string, { files }: RedactionBody, findings: string[]): Promise<void> {
  const named = new Set(files.map(({ name }) => name));
  for (const name of [copyNames.video, copyNames.frames, copyNames.events, recordsName])
    if (!named.has(name)) findings.push(`the record names no ${name}`);
  for (const { name, sha256 } of files) {
    const hash = createHash('sha256');
    const read = await pipeline(createReadStream(join(folder, name)), hash).then(
      () => true,
      () => false,
    );
    if (!read) findings.push(`${name} is missing`);
    else if (hash.digest('hex') !== sha256) findings.push(`${name} is not the file that was signed for`);
  }
  for (const name of await readdir(folder))
    if (!named.has(name) && name !== copyNames.record && name !== 'policy.json')
      findings.push(`nothing is signed about ${name}`);
}

const trustedAt = ({ identityKeys }: TrustPolicy, atUs: number): PublicKey[] =>
  identityKeys.filter(({ validFromUs, validToUs }) => validFromUs <= atUs && atUs <= validToUs).map(({ key }) => key);

/** The recording's own manifest, as it lies in the copy, is the one the record is about, and signed by somebody trusted too. */
async function checkManifest(
  folder: string,
  body: RedactionBody,
  policy: TrustPolicy,
  findings: string[],
): Promise<void> {
  const { source, close } = await openBundle(join(folder, recordsName));
  try {
    const file = (await source.list()).find(({ name }) => name === bundleNames.manifest);
    if (file === undefined) throw new DecodeError('invalid', 'it holds no manifest');
    const manifest = readRecordOf('manifest', await readWhole(source, file, SMALL_FILE_BYTES_MAX));
    if (manifest.sha256 !== body.manifest_sha256 || manifest.body.merkle_root !== body.merkle_root)
      findings.push('the record is about another manifest than the one beside it');
    if (manifest.body.session_id !== body.session_id) findings.push('the record is about another session');
    if ((await checkRecord(nodeCrypto, manifest, trustedAt(policy, manifest.body.ended_us))).finding !== null)
      findings.push('the manifest is not signed by a key of the policy');
    if (body.chunks.some(({ first, last }) => !(first <= last && last < manifest.body.chunks_count)))
      findings.push('the record names chunks the recording does not have');
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    findings.push(`${recordsName} can't be read: ${error.message}`);
  } finally {
    await close();
  }
}

async function checkEvents(folder: string, body: RedactionBody, findings: string[]): Promise<void> {
  const given = await jsonIn(folder, copyNames.events);
  let events: IndexEvent[];
  try {
    if (!Array.isArray(given)) throw new DecodeError('invalid', 'it is no list');
    events = given.map(checkedEvent);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    findings.push(`${copyNames.events} can't be read: ${error.message}`);
    return;
  }
  if (events.some((event) => isEventRemoved(body, event as RedactableEvent)))
    findings.push(`${copyNames.events} tells of something that was taken out`);
  if (events.some((event) => JSON.stringify(withoutInputs(event)) !== JSON.stringify(event)))
    findings.push(`${copyNames.events} tells of what was typed or copied`);
}

/** Draws the recording again and compares: what is different is told by its second. */
async function checkOriginal(
  folder: string,
  body: RedactionBody,
  recording: Recording,
  output: Output,
  findings: string[],
): Promise<void> {
  const { renderer } = body;
  const found = await interruptible(async (signal) => {
    const hashes = new FrameHashes(renderer.frames_per_second);
    const video = new VideoComparer(join(folder, copyNames.video), renderer.width, renderer.height);
    try {
      const drawn = await shootPictures(recording, videoOptionsOf(body, renderer, hashes), output, signal, video);
      const problem = video.problem(renderer.frames_per_second);
      if (problem !== null) findings.push(problem);
      return { drawn, seconds: hashes.end(), events: await redactedEvents(recording, body, signal) };
    } finally {
      await video.kill();
    }
  });
  const { drawn, seconds, events } = found;
  if (drawn.width !== renderer.width || drawn.height !== renderer.height || drawn.frames !== renderer.frames)
    findings.push(
      `drawn again it has ${drawn.frames} pictures of ${drawn.width}x${drawn.height}, not ${renderer.frames} of ${renderer.width}x${renderer.height}`,
    );
  const signed = ((await jsonIn(folder, copyNames.frames)) as { seconds?: unknown } | null)?.seconds;
  const list: unknown[] = Array.isArray(signed) ? signed : [];
  const other = seconds.flatMap((hash, second) => (list[second] === hash ? [] : [second]));
  if (list.length !== seconds.length)
    findings.push(`hashes of ${list.length} seconds are signed, ${seconds.length} were drawn`);
  else if (other.length > 0)
    findings.push(
      `${other.length} of ${seconds.length} seconds show something else than the recording covered so, the first at ${other[0]} s${decoderWords(renderer.h264_decoder, drawn.h264_decoder)}`,
    );
  const named = (name: string) => body.files.find((file) => file.name === name)?.sha256;
  if (sha256Of(eventsText(events.kept)) !== named(copyNames.events))
    findings.push('the events are not those of the recording');
  if (JSON.stringify([events.removed, events.chunks]) !== JSON.stringify([body.events_removed, body.chunks]))
    findings.push('the record tells of other events or chunks than were taken out');
}

const decoderWords = (then: string | null, now: string | null): string =>
  then === now ? '' : ` (drawn then with ${then ?? 'no H.264 decoder'}, now with ${now ?? 'none'})`;

export interface VerifyRedactionOptions {
  policy: string;
  original?: string;
  identity?: string;
  api: () => ApiClient;
}

export async function verifyRedaction(path: string, options: VerifyRedactionOptions, output: Output): Promise<number> {
  const folder = resolve(path);
  const record = await readCopy(folder);
  const { body } = record;
  const findings: string[] = [];
  const policy = await readPolicy(options.policy);
  const keys = trustedAt(policy, body.at_us);
  if ((await checkRecord(nodeCrypto, record, keys)).finding !== null)
    findings.push(`the record is not signed by a key of the policy (${keys.map(keyIdOf).join(', ') || 'it has none'})`);
  const problem = planProblem(body);
  if (problem !== null) findings.push(problem);
  await checkFiles(folder, body, findings);
  await checkManifest(folder, body, policy, findings);
  await checkEvents(folder, body, findings);
  const recordFits = findings.length === 0;
  let original: boolean | null = null;
  if (options.original !== undefined) {
    if (body.renderer.rules !== REDACTION_RULES)
      throw new CliError(
        `this program draws by rules ${REDACTION_RULES}, the copy was drawn by ${body.renderer.rules}`,
      );
    const before = findings.length;
    const recording = await openRecording(options.original, { api: options.api, identity: options.identity });
    try {
      if (recording.sessionId !== body.session_id)
        findings.push(`the copy is of ${body.session_id}, not of ${recording.sessionId}`);
      else await checkOriginal(folder, body, recording, output, findings);
    } finally {
      await recording.close();
    }
    original = findings.length === before;
  }
  const report: RedactionReport = {
    clean: findings.length === 0,
    checked: { record: recordFits, original },
    findings,
    redaction: body,
  };
  output.result(report, describe(report));
  return findings.length === 0 ? exitCodes.ok : exitCodes.failed;
}

function describe({ clean, checked, findings, redaction: body }: RedactionReport): string {
  const events = body.events_removed.map(({ kind, count }) => `${count} ${kind}`).join(', ') || 'none';
  return [
    `Redacted copy  ${body.session_id}`,
    `Result         ${clean ? 'CLEAN' : 'NOT WHAT IT SAYS'}`,
    `Taken out      ${body.boxes.length} boxes, ${body.spans.length} spans; events: ${events}`,
    `By             ${body.actor}, ${new Date(body.at_us / 1000).toISOString()}`,
    `Why            ${body.reason}`,
    `Pictures       ${checked.original === null ? 'not compared with the recording (name it with --original)' : checked.original ? 'the recording, but for what was taken out' : 'NOT the recording with this taken out'}`,
    ...findings.map((finding) => `  - ${finding}`),
  ]
    .map(oneLine)
    .join('\n');
}
