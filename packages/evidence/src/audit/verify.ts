/** Whether an audit log is what was written: row by row, and against the heads of it that the transparency log holds. */
import { type Crypto, DecodeError } from '@lucid-sessions/wire';
import { parseSignedCheckpoint, type SignedCheckpoint } from '../log/checkpoint.ts';
import { checkCosignature } from '../log/cosignature.ts';
import { auditEntry } from '../log/entry.ts';
import { parseLogProof } from '../log/log-proof.ts';
import { checkNote } from '../log/note.ts';
import { scanLog } from '../log/scan.ts';
import type { TileReader } from '../log/tiles.ts';
import { hashLeaf } from '../merkle/hash.ts';
import { verifyInclusion } from '../merkle/proof.ts';
import type { TrustPolicy } from '../verify/policy.ts';
import { type AuditFinding, AuditFindings, auditExitCode } from './findings.ts';
import { AUDIT_CHAIN_BEGAN, type AuditRow, readAuditRow } from './row.ts';

/** A row as it lies in a store or an export. */
export interface GivenAuditRow {
  text: string;
  /** Under which values a store finds it; they are to be those of the row. */
  filedAs?: {
    sequence: number;
    eventId: string;
    timestampUs: number;
    eventType: string;
    userId: string | null;
    resourceId: string | null;
  };
}

export interface GivenAudit {
  /** In the order of the chain, or of the file. */
  rows: AsyncIterable<GivenAuditRow>;
  /** Rows that are in no chain; asked for when all rows are read. Null: not known. */
  unchained(): number | null;
  /** A tlog-proof of the row of that sequence; asked for when all rows are read. */
  proof(): { sequence: number; text: string } | null;
}

export interface AuditReport {
  v: 1;
  clean: boolean;
  exit_code: number;
  findings: AuditFinding[];
  /** May be more than are listed. */
  findings_count: number;
  facts: {
    rows: number;
    first_us: number | null;
    last_us: number | null;
    /** Hash of the first row: what the log calls this chain. */
    chain: string | null;
    /** Rows from before the chain: nothing is proven about them. */
    rows_before_chain: number | null;
    /** The last row a logged head names; it covers all before it. Null: none. */
    covered_to: number | null;
    /** Rows behind it: who has the database can change them. */
    rows_not_covered: number;
    /** Entries of the whole log it was compared with; null: with none. */
    log_size: number | null;
    /** Heads of this chain in that log, and those logged behind the export. */
    heads: number;
    heads_since: number;
    witnesses_count: number;
    /** Earliest time at which enough witnesses saw the covering checkpoint. */
    witnessed_us: number | null;
  };
}

export interface VerifyAuditOptions {
  crypto: Crypto;
  policy: TrustPolicy;
  /** The whole log: with it rows that were rewritten or cut off before the proof was made are found. */
  log?: TileReader;
  progress?(rows: number): void;
}

/** Heads of audit chains in a log, by chain and row. */
type LoggedHeads = Map<string, Map<string, number>>;

interface Proof {
  sequence: number;
  index: number;
  checkpoint: SignedCheckpoint;
  hashes: Uint8Array[];
}

const progressEvery = 10_000;
/** Some 150 bytes each are kept of them. */
const rowsMax = 1 << 24;

function* headsOf(heads: LoggedHeads = new Map()): Iterable<string> {
  for (const rows of heads.values()) yield* rows.keys();
}

export async function verifyAudit(given: GivenAudit, options: VerifyAuditOptions): Promise<AuditReport> {
  const findings = new AuditFindings();
  // The log first: what is logged while the rows are read is of rows that are still to come.
  const logged = await readLog(options, findings);
  const walk = new Walk(findings, new Set(headsOf(logged?.heads)), options.progress);
  await walk.all(given.rows);
  const proof = await readProof(given.proof(), options, findings);
  const facts = walk.facts();
  const unchained = given.unchained();
  checkUnchained(unchained, walk, findings);
  compareWithHeads(logged, proof, walk, findings, facts);
  facts.log_size = logged?.size ?? null;
  await checkProof(proof, walk, options, findings, facts);
  if (
    options.policy.logRequired &&
    facts.covered_to === null &&
    // That nothing was ever logged only the log can say.
    (facts.rows > 0 || facts.log_size === null) &&
    !findings.has('LOG_FORK', 'NOTE_SIG_BAD')
  )
    findings.add('LOG_INCLUSION', 'no row is shown to be logged');
  facts.rows_not_covered = facts.covered_to === null ? facts.rows : walk.rowsBehind(facts.covered_to);
  const list = findings.list;
  return {
    v: 1,
    clean: findings.count === 0,
    exit_code: auditExitCode(findings.codes),
    findings: list,
    findings_count: findings.count,
    facts,
  };
}

async function readLog(
  { log, crypto, policy }: VerifyAuditOptions,
  findings: AuditFindings,
): Promise<{ heads: LoggedHeads; size: number } | null> {
  if (log === undefined) return null;
  const heads: LoggedHeads = new Map();
  try {
    const known = policy.knownCheckpoints;
    const { checkpoint, roots } = await scanLog(log, {
      crypto,
      keys: policy.logKeys,
      sizes: known.map(({ size }) => size),
      visit(index, fields) {
        if (fields?.kind !== 'audit' || fields.subject === null) return;
        const chain = heads.get(fields.subject) ?? new Map<string, number>();
        heads.set(fields.subject, chain);
        if (!chain.has(fields.recordSha256)) chain.set(fields.recordSha256, index);
      },
    });
    for (const { origin, size, root } of known) {
      const there = origin === checkpoint.origin ? roots.get(size) : undefined;
      if (there === undefined || there.some((byte, at) => byte !== root[at]))
        findings.add('LOG_FORK', `the log never was the one of ${size} entries that you know`);
    }
    return { heads, size: checkpoint.size };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    findings.add('LOG_FORK', `the log is not sound: ${error.message}`);
    return null;
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Goes through the rows, and keeps of each its hash. */
class Walk {
  readonly #findings: AuditFindings;
  readonly #progress: ((rows: number) => void) | undefined;
  readonly #logged: ReadonlySet<string>;
  /** By sequence; of two of one the first. */
  readonly #hashes = new Map<number, string>();
  /** Rows that logged heads name, by hash. */
  readonly #heads = new Map<string, number>();
  #previous: AuditRow | null = null;
  #count = 0;
  #firstUs: number | null = null;
  #before: number | null = null;
  #chain: string | null = null;

  constructor(findings: AuditFindings, logged: ReadonlySet<string>, progress: ((rows: number) => void) | undefined) {
    this.#findings = findings;
    this.#logged = logged;
    this.#progress = progress;
  }

  async all(rows: AsyncIterable<GivenAuditRow>): Promise<void> {
    for await (const row of rows) {
      if (this.#count === rowsMax) {
        this.#findings.add('FORMAT', `more than ${rowsMax} rows`);
        return;
      }
      this.#next(row);
    }
  }

  #next(given: GivenAuditRow): void {
    this.#count += 1;
    if (this.#count % progressEvery === 0) this.#progress?.(this.#count);
    let row: AuditRow;
    try {
      row = readAuditRow(given.text);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      const expected = this.#expected();
      this.#findings.add(
        'FORMAT',
        `row ${given.filedAs?.sequence ?? expected} can't be read: ${error.message}`,
        expected,
      );
      return;
    }
    this.#checkPlace(row);
    this.#checkFiling(row, given.filedAs);
    const { sequence, sha256 } = row;
    if (!this.#hashes.has(sequence)) this.#hashes.set(sequence, sha256);
    if (this.#logged.has(sha256)) this.#heads.set(sha256, sequence);
    this.#firstUs ??= row.event.timestamp_us;
    if (this.#previous === null || sequence > this.#previous.sequence) this.#previous = row;
  }

  #expected(): number {
    return this.#previous === null ? 0 : this.#previous.sequence + 1;
  }

  #checkPlace(row: AuditRow): void {
    const { sequence } = row;
    const expected = this.#expected();
    if (sequence === 0 && expected === 0) this.#began(row);
    else if (sequence === expected && row.previous_sha256 === this.#previous!.sha256) return;
    else if (sequence === expected)
      this.#findings.add(
        'ROW_ALTERED',
        `row ${sequence} does not name row ${sequence - 1} as it is here: one of them was rewritten`,
        sequence - 1,
      );
    else if (sequence > expected)
      this.#findings.add(
        'ROW_MISSING',
        sequence - expected === 1 ? `row ${expected} is missing` : `rows ${expected} to ${sequence - 1} are missing`,
        expected,
      );
    else if (this.#hashes.get(sequence) === row.sha256)
      this.#findings.add('ROW_EXTRA', `row ${sequence} stands twice`, sequence);
    else if (this.#hashes.has(sequence)) this.#findings.add('ROW_EXTRA', `there is a second row ${sequence}`, sequence);
    else this.#findings.add('REORDERED', `row ${sequence} stands behind row ${expected - 1}`, sequence);
  }

  #began(row: AuditRow): void {
    this.#chain = row.sha256;
    const { uncovered_rows: before } = row.event.details as { uncovered_rows?: unknown };
    if (row.previous_sha256 !== null || row.event.event_type !== AUDIT_CHAIN_BEGAN || !isCount(before))
      this.#findings.add('FORMAT', 'the first row does not say how the chain began', 0);
    else this.#before = before;
  }

  #checkFiling({ sequence, event }: AuditRow, filed: GivenAuditRow['filedAs']): void {
    if (filed === undefined) return;
    const same =
      filed.sequence === sequence &&
      filed.eventId === event.event_id &&
      filed.timestampUs === event.timestamp_us &&
      filed.eventType === event.event_type &&
      filed.userId === event.user_id &&
      filed.resourceId === event.resource_id;
    if (!same)
      this.#findings.add('ROW_MISFILED', `row ${sequence} is filed as something else: lists don't show it`, sequence);
  }

  headOf(hash: string): number | undefined {
    return this.#heads.get(hash);
  }

  hashOf(sequence: number): string | undefined {
    return this.#hashes.get(sequence);
  }

  rowsBehind(sequence: number): number {
    return this.#previous === null ? 0 : Math.max(0, this.#previous.sequence - sequence);
  }

  get chain(): string | null {
    return this.#chain;
  }
  get before(): number | null {
    return this.#before;
  }

  facts(): AuditReport['facts'] {
    return {
      rows: this.#count,
      first_us: this.#firstUs,
      last_us: this.#previous?.event.timestamp_us ?? null,
      chain: this.#chain,
      rows_before_chain: this.#before,
      covered_to: null,
      rows_not_covered: 0,
      log_size: null,
      heads: 0,
      heads_since: 0,
      witnesses_count: 0,
      witnessed_us: null,
    };
  }
}

function checkUnchained(unchained: number | null, { before }: Walk, findings: AuditFindings): void {
  if (unchained === null || before === null || unchained === before) return;
  const [code, told] =
    unchained > before
      ? (['ROW_EXTRA', `${unchained - before} rows stand in no chain`] as const)
      : (['ROW_MISSING', `${before - unchained} of ${before} rows from before the chain are gone`] as const);
  findings.add(code, told);
}

/** What the log says of this chain, and of others, is here. */
function compareWithHeads(
  logged: { heads: LoggedHeads; size: number } | null,
  proof: Proof | null,
  walk: Walk,
  findings: AuditFindings,
  facts: AuditReport['facts'],
): void {
  if (logged === null) return;
  const { heads, size } = logged;
  const isOther = proof !== null && isOfAnotherLog(proof, heads, size, walk);
  if (isOther) findings.add('LOG_FORK', `the log has not the entry (${proof.index}) that the proof is of`);
  // What was logged behind the export's proof is of rows it does not have.
  const until = proof === null || isOther ? Number.MAX_SAFE_INTEGER : proof.checkpoint.size;
  const unknown: number[] = [];
  for (const [hash, index] of walk.chain === null ? [] : (heads.get(walk.chain) ?? [])) {
    facts.heads += 1;
    const row = walk.headOf(hash);
    if (row !== undefined) cover(facts, row);
    else if (index >= until) facts.heads_since += 1;
    else unknown.push(index);
  }
  if (unknown.length > 0)
    findings.add(
      'ROW_MISSING',
      `${unknown.length === 1 ? 'a head' : `${unknown.length} heads`} in the log (entry ${Math.min(...unknown)}) name rows that are not here: ${
        facts.covered_to === null ? 'rows' : `behind row ${facts.covered_to} rows`
      } were cut off or rewritten`,
      facts.covered_to === null ? null : facts.covered_to + 1,
    );
  if (walk.chain === null && heads.size > 0)
    findings.add('ROW_MISSING', 'the log holds heads of an audit chain, and its first row is not here', 0);
  for (const [chain, others] of walk.chain === null ? [] : heads)
    if (chain !== walk.chain)
      findings.add(
        'DUPLICATE',
        `the log holds ${others.size} heads of another audit chain, from entry ${Math.min(...others.values())} on`,
      );
}

/** The proof's row is here, and the log, though it is that long, has no such head: the checkpoint is of another tree. */
function isOfAnotherLog({ sequence, index }: Proof, heads: LoggedHeads, size: number, walk: Walk): boolean {
  const hash = walk.hashOf(sequence);
  return walk.chain !== null && hash !== undefined && index < size && heads.get(walk.chain)?.has(hash) !== true;
}

function cover(facts: AuditReport['facts'], sequence: number): void {
  facts.covered_to = Math.max(facts.covered_to ?? 0, sequence);
}

async function readProof(
  given: ReturnType<GivenAudit['proof']>,
  { crypto, policy }: VerifyAuditOptions,
  findings: AuditFindings,
): Promise<Proof | null> {
  if (given === null || policy.logKeys.length === 0) return null;
  try {
    const { sequence } = given;
    const { index, hashes, checkpoint: note } = parseLogProof(given.text);
    const checkpoint = parseSignedCheckpoint(note);
    const key = policy.logKeys.find(({ name }) => name === checkpoint.origin);
    const state = key === undefined ? 'absent' : await checkNote(crypto, checkpoint.note, key);
    if (state === 'good') return { sequence, index, hashes, checkpoint };
    const { origin } = checkpoint;
    if (state === 'bad') findings.add('NOTE_SIG_BAD', `the checkpoint of ${origin} has a bad signature`);
    else findings.add('LOG_INCLUSION', `the policy trusts no log ${origin}`);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    findings.add('FORMAT', `the proof can't be read: ${error.message}`);
  }
  return null;
}

/** That the row it is said to be of is logged, and who saw that. */
async function checkProof(
  proof: Proof | null,
  walk: Walk,
  { crypto, policy }: VerifyAuditOptions,
  findings: AuditFindings,
  facts: AuditReport['facts'],
): Promise<void> {
  if (proof === null) return;
  const { sequence, index, checkpoint, hashes } = proof;
  const { size, root, note } = checkpoint;
  const rowSha256 = walk.hashOf(sequence);
  const { chain } = walk;
  // Without the first row nobody knows the chain; where one was, that is told.
  if (chain === null && findings.has('ROW_MISSING')) return;
  const leafHash = rowSha256 === undefined || chain === null ? null : hashLeaf(auditEntry({ rowSha256, chain }));
  if (leafHash === null || !verifyInclusion({ leafHash, index, size, root, proof: hashes })) {
    findings.add('ROW_MISSING', `row ${sequence} as it was logged (entry ${index}) is not here`, sequence);
    return;
  }
  cover(facts, sequence);
  const times: number[] = [];
  for (const witness of policy.witnesses) {
    const check = await checkCosignature(crypto, note, witness);
    if (check.state === 'good') times.push(check.timeSeconds * 1_000_000);
    if (check.state === 'bad') findings.add('NOTE_SIG_BAD', `the cosignature of ${witness.name} is bad`);
  }
  times.sort((a, b) => a - b);
  facts.witnesses_count = times.length;
  facts.witnessed_us = times[Math.max(0, policy.witnessesRequired - 1)] ?? null;
  if (times.length < policy.witnessesRequired)
    findings.add('LOG_INCLUSION', `${times.length} of ${policy.witnessesRequired} witnesses cosigned the checkpoint`);
}
