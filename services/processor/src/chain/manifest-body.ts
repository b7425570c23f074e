import type { ProcessorPort, RecordingFact } from '@lucid-sessions/contract';
import {
  formatPublicKey,
  type ManifestBody,
  type OpenBody,
  type PublicKey,
  recordBase,
  type SignedRecord,
  toHex,
} from '@lucid-sessions/evidence';

export type FinishRequest = Parameters<ProcessorPort['finish']>[0];

/** Entries of one list: the signed record has to stay below its own limit of 4 MiB. */
const entriesMax = 4000;
const connectionsMax = 1000;
const textMax = 200;
/** The rules in force stand in one text. */
const policyTextMax = 1000;

export interface ClockCheck {
  /** µs this clock is ahead of true time, null when nobody measured. */
  offsetUs: number | null;
  source: string;
}

export interface ChainSummary {
  root: Uint8Array;
  chunksCount: number;
  totalBytes: number;
}

type FactOf<K extends RecordingFact['kind']> = Extract<RecordingFact, { kind: K }>;

function factsOf<K extends RecordingFact['kind']>(facts: readonly RecordingFact[], kind: K): FactOf<K>[] {
  return facts.filter((fact): fact is FactOf<K> => fact.kind === kind);
}

/** Absent where the gateway logged on to no target. */
function targetLogonsOf(facts: readonly RecordingFact[]): Pick<ManifestBody, 'target_logons'> {
  const logons = factsOf(facts, 'target_logon').slice(0, connectionsMax);
  if (logons.length === 0) return {};
  return {
    target_logons: logons.map(({ atUs, user, method, envelope, credsspVersion }) => ({
      at_us: atUs,
      user: text(user),
      method,
      envelope,
      credssp_version: credsspVersion,
    })),
  };
}

/** Well-formed text of a bounded length: facts quote what peers sent. */
function text(value: string, lengthMax = textMax): string {
  return value.slice(0, lengthMax).toWellFormed();
}

/** Told when something is refused first, and again with the rest of its count. Absent where no policy was in force. */
function policyOf(facts: readonly RecordingFact[]): Pick<ManifestBody, 'policy'> {
  const entries = new Map<string, { at_us: number; what: string; count: number }>();
  for (const { atUs, what, count } of factsOf(facts, 'policy')) {
    const known = entries.get(what);
    if (known !== undefined) known.count += count;
    else if (entries.size < entriesMax) entries.set(what, { at_us: atUs, what: text(what, policyTextMax), count });
  }
  return entries.size === 0 ? {} : { policy: [...entries.values()] };
}

/** One that was told when it began is left out when its end was told, too. */
function told<S extends { fromUs: number; toUs: number | null }>(spans: readonly S[]): S[] {
  const ended = new Set(spans.filter(({ toUs }) => toUs !== null).map(({ fromUs }) => fromUs));
  return spans.filter(({ fromUs, toUs }) => toUs !== null || !ended.has(fromUs));
}

/** Beyond the limit the last entry covers all that is left: a gap may be coarse in the manifest, never missing. */
function gapsOf(facts: readonly RecordingFact[]): ManifestBody['gaps'] {
  const gaps = told(factsOf(facts, 'gap')).map(({ fromUs, toUs, reason, framesLost }) => ({
    from_us: fromUs,
    to_us: toUs,
    reason: text(reason),
    frames_lost: framesLost,
  }));
  const rest = gaps.splice(entriesMax - 1);
  if (rest.length <= 1) return [...gaps, ...rest];
  const frames_lost = rest.reduce((sum, gap) => sum + gap.frames_lost, 0);
  const reason = `${rest.length} further gaps`;
  return [...gaps, { from_us: rest[0]!.from_us, to_us: rest.at(-1)!.to_us, reason, frames_lost }];
}

/**
 * A recorder that died can't tell of frames it could not store before. In strict mode the session would have ended with the
 * first of them; in best-effort mode nothing bounds how many there were, and the recording must not look as if none were.
 */
function gapOfCrash({ reason, endedUs }: FinishRequest, open: OpenBody): ManifestBody['gaps'] {
  if (reason !== 'recorder_crashed' || open.policy.persistence !== 'best_effort') return [];
  const why = 'the recorder died, and in best-effort mode frames it could not store before that may be missing';
  return [{ from_us: endedUs, to_us: null, reason: why, frames_lost: 0 }];
}

function pausesOf(facts: readonly RecordingFact[]): ManifestBody['pauses'] {
  const pauses = told(factsOf(facts, 'pause')).map(({ fromUs, toUs }) => ({ from_us: fromUs, to_us: toUs }));
  const rest = pauses.splice(entriesMax - 1);
  if (rest.length <= 1) return [...pauses, ...rest];
  return [...pauses, { from_us: rest[0]!.from_us, to_us: rest.at(-1)!.to_us }];
}

function clientLogonsOf(facts: readonly RecordingFact[]): Pick<ManifestBody, 'client_logons'> {
  const logons = factsOf(facts, 'client_logon').slice(0, connectionsMax);
  if (logons.length === 0) return {};
  return {
    client_logons: logons.map(({ atUs, user, workstation, targetName, version }) => ({
      at_us: atUs,
      user: text(user),
      workstation: text(workstation),
      target_name: text(targetName),
      version,
    })),
  };
}

function steeringOf(facts: readonly RecordingFact[]): Pick<ManifestBody, 'steering'> {
  const spans = told(factsOf(facts, 'steering')).slice(0, entriesMax);
  if (spans.length === 0) return {};
  return {
    steering: spans.map(({ fromUs, toUs, by, consent, end }) => ({
      from_us: fromUs,
      to_us: toUs,
      by: text(by),
      consent,
      end: text(end, 500),
    })),
  };
}

function approvalsOf(facts: readonly RecordingFact[]): Pick<ManifestBody, 'approvals'> {
  const approvals = factsOf(facts, 'approval').slice(0, connectionsMax);
  if (approvals.length === 0) return {};
  return {
    approvals: approvals.map(({ atUs, by, reason }) => ({ at_us: atUs, by: text(by), reason: text(reason, 500) })),
  };
}

function consentsOf(facts: readonly RecordingFact[]): Pick<ManifestBody, 'consents'> {
  const consents = factsOf(facts, 'consent').slice(0, connectionsMax);
  if (consents.length === 0) return {};
  return {
    consents: consents.map(({ atUs, textSha256, user }) => ({
      at_us: atUs,
      text_sha256: textSha256,
      user: text(user),
    })),
  };
}

/** The last comparison that came to something stands for all. */
function clockOf(facts: readonly RecordingFact[], clock: ClockCheck): Pick<ManifestBody, 'clock' | 'clock_checks'> {
  const checks = factsOf(facts, 'clock_check')
    .slice(-entriesMax)
    .map(({ atUs, offsetUs, errorUs, source }) => ({
      at_us: atUs,
      offset_us: offsetUs,
      error_us: errorUs,
      source: text(source, 200),
    }));
  if (checks.length === 0) return { clock: { offset_us: clock.offsetUs, source: text(clock.source) } };
  const { offset_us, source } = checks.findLast((check) => check.offset_us !== null) ?? checks.at(-1)!;
  return { clock: { offset_us, source }, clock_checks: checks };
}

/** All that was recorded, and what was not, over the chunks in storage. */
export function manifestBodyOf(
  request: FinishRequest,
  records: { open: SignedRecord<OpenBody>; resumesSha256: string[] },
  chain: ChainSummary,
  signer: { key: PublicKey; clock: ClockCheck },
): ManifestBody {
  const { session, facts, statistics } = request;
  const { open } = records;
  return {
    ...recordBase('manifest', session.session_id),
    open_sha256: open.sha256,
    resumes_sha256: records.resumesSha256,
    chunks_count: chain.chunksCount,
    total_bytes: chain.totalBytes,
    merkle_root: toHex(chain.root),
    opened_us: open.body.opened_us,
    ended_us: request.endedUs,
    ...clockOf(facts, signer.clock),
    gaps: [...gapsOf(facts), ...gapOfCrash(request, open.body)],
    pauses: pausesOf(facts),
    downgrades: factsOf(facts, 'downgrade')
      .slice(0, entriesMax)
      .map(({ atUs, what }) => ({ at_us: atUs, what: text(what) })),
    ...policyOf(facts),
    clock_steps: factsOf(facts, 'clock_step')
      .slice(0, entriesMax)
      .map(({ atUs, stepUs }) => ({ at_us: atUs, step_us: stepUs })),
    connections: factsOf(facts, 'connected')
      .slice(0, connectionsMax)
      .map(({ atUs, clientAddress, targetAddress, tls }) => ({
        at_us: atUs,
        client: text(clientAddress),
        target: text(targetAddress),
        ...(tls === undefined ? {} : { tls: text(tls) }),
      })),
    target_certificates: factsOf(facts, 'target_certificate')
      .slice(0, connectionsMax)
      .map(({ atUs, sha256, check, valid, problem, tls }) => ({
        at_us: atUs,
        sha256,
        check,
        valid,
        ...(problem === undefined ? {} : { problem: text(problem) }),
        ...(tls === undefined ? {} : { tls: text(tls) }),
      })),
    ...targetLogonsOf(facts),
    persistence: open.body.policy.persistence,
    end: { reason: request.reason, message: text(request.message, 2000) },
    statistics: {
      frames_count: statistics.framesCount,
      relayed_bytes: statistics.relayedBytes,
      frames_dropped: statistics.framesDropped,
      duration_us: statistics.durationUs,
    },
    keys: { identity_key: formatPublicKey(signer.key), dek_id: open.body.dek_id },
    ...(open.body.imported === undefined ? {} : { imported: open.body.imported }),
    ...clientLogonsOf(facts),
    ...consentsOf(facts),
    ...approvalsOf(facts),
    ...steeringOf(facts),
  };
}
