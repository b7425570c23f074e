import type { DecodeError } from '@lucid-sessions/wire';
import { bundleNames } from '../bundle/files.ts';
import type { ImportedBody, ManifestBody, RecorderBuild } from '../record/bodies.ts';
import { oneLine } from '../text.ts';
import type { AnchorResult } from './anchors.ts';
import type { ChainResult } from './chain.ts';
import type { ChunkCheck } from './chunks.ts';
import { type Context, earliest, type FoundKey, importedOf } from './context.ts';
import { exitCodeOf, type Finding, Findings, findingMeanings, type RecordingState, type Verdicts } from './findings.ts';
import type { LogFacts, LogResult } from './log.ts';
import { type ReplayFacts, type ReplayResult, replayText } from './replay.ts';

/** JSON shape of a verification; times are µs since 1970. */
export interface VerificationReport {
  v: 1;
  clean: boolean;
  exit_code: number;
  session_id: string | null;
  verdicts: Verdicts;
  findings: Finding[];
  /** May be more than are listed. */
  findings_count: number;
  states: RecordingState[];
  facts: {
    opened_us: number | null;
    ended_us: number | null;
    end_reason: string | null;
    chunks_in_manifest: number | null;
    leaves_count: number;
    chunks_checked: number;
    chunks_read: number;
    frames_read: number;
    chunks_recovered: number;
    total_bytes: number;
    merkle_root: string | null;
    pauses_count: number;
    downgrades: string[];
    /** What the policy of channels refused, when first and how often; 0: what was in force. */
    policy: { at_us: number; what: string; count: number }[];
    /** Who asked to work in the session in its user's place, on whose consent, and how it ended. */
    steering: NonNullable<ManifestBody['steering']>;
    /** The program that signed, as it says itself; null: it does not say. */
    build: RecorderBuild | null;
    /** How far off the recorder's clock was, as it says itself; null: no manifest, or it was compared with nothing. */
    clock: ClockFacts | null;
    part: { first_chunk: number; last_chunk: number } | null;
    /** It was made of a file; null: recorded. `captured_…` is what the file claims. */
    imported: ImportedBody | null;
    /** The recording began after this (a witnessed checkpoint it names). */
    not_before_us: number | null;
    /** The manifest existed at this time at the latest. */
    not_after_us: number | null;
    witnesses_count: number;
    anchors_count: number;
    anchors_confirmed: number;
    /** What the bundle was compared with beyond its own proofs. */
    log: LogFacts;
    /** Heads that were logged while it ran: how many, and the last. Null: none in the bundle. */
    progress: { heads: number; leaves_count: number; at_us: number } | null;
    custody_count: number;
    /** Null where nobody walked through the recording. */
    replay: ReplayFacts | null;
  };
}

export interface ClockFacts {
  /** What had to be added to it in the end; null: nobody could be asked. */
  offset_us: number | null;
  source: string;
  checks_count: number;
  /** The most any comparison found, its error included; null: none came to anything. */
  most_us: number | null;
}

interface Results {
  chain: ChainResult;
  chunks: ChunkCheck;
  log: LogResult;
  anchors: AnchorResult;
  key: FoundKey;
  replay: ReplayResult;
}

function verdictsOf(context: Context, results: Results): Verdicts {
  const { findings } = context;
  return {
    integrity: findings.moves('integrity', 'broken') ? 'broken' : 'intact',
    completeness: completenessOf(context, results),
    origin: originOf(context),
    time: timeOf(context, results),
    readability: readabilityOf(context, results),
    replay: results.replay.state,
  };
}

function originOf({ findings, open }: Context): Verdicts['origin'] {
  if (findings.moves('origin', 'forged')) return 'forged';
  if (findings.moves('origin', 'untrusted') || open === null) return 'untrusted';
  return findings.moves('origin', 'imported') ? 'imported' : 'trusted';
}

function completenessOf(context: Context, { chunks, chain }: Results): Verdicts['completeness'] {
  const { findings } = context;
  if (findings.moves('completeness', 'incomplete')) return 'incomplete';
  if (context.manifest === null) return 'unclosed';
  if (context.erased.chunks && (chunks.isGone || chain.leavesCount === 0)) return 'erased';
  if (context.description.partial !== null) return 'part';
  return findings.moves('completeness', 'gaps') ? 'gaps' : 'whole';
}

function timeOf({ findings }: Context, { log, anchors }: Results): Verdicts['time'] {
  if (findings.moves('time', 'contradicted')) return 'contradicted';
  if (findings.moves('time', 'imported')) return 'imported';
  if (anchors.confirmedCount > 0) return 'anchored';
  if (log.witnessedUs !== null) return 'witnessed';
  return log.manifestLogged ? 'logged' : 'recorder_only';
}

function readabilityOf(context: Context, { chunks, key }: Results): Verdicts['readability'] {
  if (context.findings.moves('readability', 'unreadable')) return 'unreadable';
  if (context.erased.keys || context.erased.chunks) return 'shredded';
  const canRead = context.decompressor !== undefined && (key.dek !== null || !chunks.encrypted);
  return canRead && chunks.readCount > 0 && chunks.readCount === chunks.checkedCount ? 'readable' : 'not_checked';
}

export function makeReport(context: Context, results: Results): VerificationReport {
  const { findings, open, manifest, description } = context;
  const { chain, chunks, log, anchors } = results;
  const { partial } = description;
  return {
    v: 1,
    clean: findings.count === 0,
    exit_code: exitCodeOf(findings.codes),
    session_id: open?.body.session_id ?? null,
    verdicts: verdictsOf(context, results),
    findings: findings.list,
    findings_count: findings.count,
    states: [...context.states].sort(),
    facts: {
      opened_us: open?.body.opened_us ?? null,
      ended_us: manifest?.body.ended_us ?? null,
      end_reason: manifest?.body.end.reason ?? null,
      chunks_in_manifest: manifest?.body.chunks_count ?? null,
      leaves_count: chain.leavesCount,
      chunks_checked: chunks.checkedCount,
      chunks_read: chunks.readCount,
      frames_read: chunks.framesCount,
      chunks_recovered: chain.recoveredCount,
      total_bytes: chain.totalBytes,
      merkle_root: manifest?.body.merkle_root ?? null,
      pauses_count: manifest?.body.pauses.length ?? 0,
      downgrades: (manifest?.body.downgrades ?? []).map(({ what }) => what),
      policy: manifest?.body.policy ?? [],
      steering: manifest?.body.steering ?? [],
      build: open?.body.recorder.build ?? null,
      clock: clockFacts(manifest?.body ?? null),
      part: partial === null ? null : { first_chunk: partial.first_chunk, last_chunk: partial.last_chunk },
      imported: importedOf(context),
      // What was imported may be of any time before.
      not_before_us: importedOf(context) === null ? log.notBeforeUs : null,
      not_after_us: earliest(log.witnessedUs, anchors.confirmedUs),
      witnesses_count: log.witnessesCount,
      anchors_count: anchors.receiptsCount,
      anchors_confirmed: anchors.confirmedCount,
      log: log.compared,
      progress: progressFacts(log.progress),
      custody_count: context.custody.length,
      replay: results.replay.facts,
    },
  };
}

function progressFacts(heads: LogResult['progress']): VerificationReport['facts']['progress'] {
  const last = heads.toSorted((a, b) => a.atUs - b.atUs).at(-1);
  const told = new Set(heads.map(({ atUs, leavesCount }) => `${atUs} ${leavesCount}`));
  return last === undefined ? null : { heads: told.size, leaves_count: last.leavesCount, at_us: last.atUs };
}

/** The report about a bundle that could not even be opened (a damaged tar file). */
export function unreadableBundle(error: DecodeError): VerificationReport {
  const findings = new Findings();
  findings.add('B16', error.message, { file: bundleNames.bundle });
  return {
    v: 1,
    clean: false,
    exit_code: exitCodeOf(findings.codes),
    session_id: null,
    verdicts: {
      integrity: 'broken',
      completeness: 'incomplete',
      origin: 'untrusted',
      time: 'recorder_only',
      readability: 'not_checked',
      replay: 'unexamined',
    },
    findings: findings.list,
    findings_count: 1,
    states: [],
    facts: {
      opened_us: null,
      ended_us: null,
      end_reason: null,
      chunks_in_manifest: null,
      leaves_count: 0,
      chunks_checked: 0,
      chunks_read: 0,
      frames_read: 0,
      chunks_recovered: 0,
      total_bytes: 0,
      merkle_root: null,
      pauses_count: 0,
      downgrades: [],
      policy: [],
      steering: [],
      build: null,
      clock: null,
      part: null,
      imported: null,
      not_before_us: null,
      not_after_us: null,
      witnesses_count: 0,
      anchors_count: 0,
      anchors_confirmed: 0,
      log: { size: null, records_since: 0, known: 0, not_compared: 0 },
      progress: null,
      custody_count: 0,
      replay: null,
    },
  };
}

function clockFacts(manifest: ManifestBody | null): ClockFacts | null {
  const checks = manifest?.clock_checks ?? [];
  if (manifest === null || checks.length === 0) return null;
  const most = checks.flatMap(({ offset_us, error_us }) =>
    offset_us === null || error_us === null ? [] : [Math.abs(offset_us) + error_us],
  );
  return {
    ...manifest.clock,
    checks_count: checks.length,
    most_us: most.length === 0 ? null : most.reduce((sum, us) => Math.max(sum, us)),
  };
}

function buildText({ version, package_sha256: digest, sbom_sha256: sbom, commit }: RecorderBuild): string {
  const from = commit === null ? '' : `, commit ${commit}`;
  return `version ${version}${from}, package ${digest ?? 'none'}, SBOM ${sbom ?? 'none'}`;
}

const milliseconds = (us: number): string => `${(us / 1000).toFixed(1)} ms`;

function clockText({ offset_us: offset, source, checks_count: count, most_us: most }: ClockFacts): string {
  if (offset === null || most === null) return `not compared: ${source}`;
  const off = `${milliseconds(Math.abs(offset))} ${offset > 0 ? 'behind' : 'ahead'} at last, by ${source}`;
  return `${off}; ${count} comparisons, never more than ${milliseconds(most)} off`;
}

const consents = { user: 'its user agreed', policy: 'its user was not asked', none: 'it did not come to it' } as const;

const steeringText = ({ from_us, to_us, by, consent, end }: NonNullable<ManifestBody['steering']>[number]): string =>
  `${by}, ${time(from_us)} to ${time(to_us)} (${consents[consent]}${end === '' ? '' : `; ${end}`})`;

const time = (us: number | null): string => (us === null ? 'unknown' : new Date(Math.floor(us / 1000)).toISOString());

/** When the recording existed, by the word of witnesses and anchors; nothing is said of a bound that nobody vouches for. */
export function existedText(
  { not_before_us: from, not_after_us: to }: Pick<VerificationReport['facts'], 'not_before_us' | 'not_after_us'>,
  timeText: (us: number) => string,
): string {
  if (from === null && to === null) return 'at a time that no witness and no anchor vouches for';
  if (to === null) return `not before ${timeText(from as number)}`;
  return from === null
    ? `at the latest ${timeText(to)}`
    : `not before ${timeText(from)}, at the latest ${timeText(to)}`;
}

/** Each word of each verdict as a sentence for a person. */
export const verdictSentences = {
  integrity: { intact: 'unaltered', broken: 'ALTERED' },
  completeness: {
    whole: 'whole',
    part: 'a part of a whole recording, proven to belong to it',
    gaps: 'whole, with gaps the recorder declared',
    erased: 'destroyed on purpose, by a signed and logged record',
    incomplete: 'INCOMPLETE',
    unclosed: 'NOT CLOSED: it has no signed end',
  },
  origin: {
    trusted: 'made by a recorder you trust',
    untrusted: 'made by a recorder you do NOT trust',
    forged: 'FORGED: a signature is bad',
    imported: 'IMPORTED from a file: nothing is proven about what it shows',
  },
  time: {
    recorder_only: 'only the recorder vouches for the time',
    logged: 'logged by a log you trust',
    witnessed: 'witnessed from outside',
    anchored: 'anchored outside',
    contradicted: 'CONTRADICTED',
    imported: 'of its IMPORT alone: when what it shows happened is not proven',
  },
  readability: {
    readable: 'every chunk decrypts to well-formed frames',
    unreadable: 'NOT READABLE with the given key',
    not_checked: 'not checked (no key given)',
    shredded: 'destroyed on purpose, by a signed record; what remains can still be proven',
  },
  replay: {
    drawn: 'everything recorded can be seen',
    parts: 'PARTS of what was recorded can NOT BE SEEN',
    nothing: 'NOTHING can be seen',
    unexamined: 'NOT EXAMINED',
  },
} as const;

function claimedText({ captured_from_us, captured_to_us, client, server }: ImportedBody): string {
  return `${client ?? 'unknown'} to ${server ?? 'unknown'}, ${time(captured_from_us)} to ${time(captured_to_us)}`;
}

const whoExamined = ({ remade, examined_us, software }: ReplayFacts): string =>
  remade ? 'examined by this verifier' : `examined ${time(examined_us)} by ${software}`;

/** Evidence that is clean and shows nothing must not read as if all were well. */
function resultOf({ clean, findings_count: count, verdicts }: VerificationReport): string {
  if (!clean) return `NOT CLEAN, ${count} finding(s)`;
  return verdicts.replay === 'drawn' ? 'CLEAN' : 'CLEAN as evidence; whether all of it can be seen was NOT EXAMINED';
}

function logText({ size, records_since: since, known, not_compared: unknown }: LogFacts): string {
  const whole =
    size === null
      ? 'not compared: whether records of this session were left out or made twice is not known'
      : `compared with all ${size} entries, ${since} records of this session are later than the bundle`;
  const others = known + unknown === 0 ? '' : `; ${known} known checkpoints are of it, ${unknown} not compared`;
  return `${whole}${others}`;
}

/** The report for a person, plain text. */
export function formatReport(report: VerificationReport): string {
  const { facts, verdicts } = report;
  const since = facts.imported === null ? '' : ', since it was imported';
  const lines = [
    `Session       ${report.session_id ?? 'unknown'}`,
    `Result        ${resultOf(report)}`,
    '',
    `Integrity     ${verdictSentences.integrity[verdicts.integrity]}${since}`,
    `Completeness  ${verdictSentences.completeness[verdicts.completeness]}${since}`,
    `Origin        ${verdictSentences.origin[verdicts.origin]}`,
    `Time          ${verdictSentences.time[verdicts.time]}`,
    `Readability   ${verdictSentences.readability[verdicts.readability]}`,
    `Replay        ${verdictSentences.replay[verdicts.replay]} (${replayText(verdicts.replay, facts.replay)}${facts.replay === null ? '' : `, ${whoExamined(facts.replay)}`})`,
    '',
    `${facts.imported === null ? 'Recorded' : 'Imported'}      ${time(facts.opened_us)} to ${time(facts.ended_us)}${facts.end_reason === null ? '' : ` (${facts.end_reason})`}`,
    `Chunks        ${facts.chunks_checked} checked, ${facts.chunks_read} read, ${facts.chunks_in_manifest ?? '?'} in the manifest, ${facts.chunks_recovered} recovered after a crash`,
    `Merkle root   ${facts.merkle_root ?? 'none'}`,
    `Existed       ${existedText(facts, time)} (${facts.witnesses_count} witnesses, ${facts.anchors_confirmed} of ${facts.anchors_count} anchors confirmed)`,
  ];
  lines.push(`Log           ${logText(facts.log)}`);
  if (facts.build !== null) lines.push(`Made by       ${buildText(facts.build)} (by the recorder)`);
  if (facts.clock !== null) lines.push(`Clock         ${clockText(facts.clock)} (by the recorder)`);
  if (facts.progress !== null)
    lines.push(
      `Progress      ${facts.progress.leaves_count} leaves were logged by ${time(facts.progress.at_us)}, while it ran (${facts.progress.heads} heads here)`,
    );
  if (facts.imported !== null) lines.push(`Claimed       ${claimedText(facts.imported)} (by the file; not proven)`);
  if (facts.part !== null) lines.push(`Part          chunks ${facts.part.first_chunk} to ${facts.part.last_chunk}`);
  if (report.states.length > 0) lines.push(`States        ${report.states.join(', ')}`);
  for (const what of facts.downgrades) lines.push(`Downgrade     ${what}`);
  for (const { at_us, what, count } of facts.policy)
    lines.push(`Policy        ${what}${count === 0 ? '' : `: ${count} times, first at ${time(at_us)}`}`);
  for (const each of facts.steering) lines.push(`Steering      ${steeringText(each)}`);
  for (const { code, message, file } of report.findings)
    lines.push(`${code.padEnd(14)}${message}${file === null ? '' : ` [${file}]`} (${findingMeanings[code]})`);
  return `${lines.map(oneLine).join('\n')}\n`;
}
