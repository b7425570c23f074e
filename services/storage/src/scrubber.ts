/**
 * Reads every stored chunk again within so many days, for ever: behind everything else, by one process of an installation at a time, at
 * no more than so many bytes in a second. Where it is, and what it found, stands in an entry of the metadata store, so that whoever
 * has the lease goes on there.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type AuditEvent, type Entry, isLucidError } from '@lucid-sessions/contract';
import { Scrub, type ScrubDeps, type ScrubFinding } from './scrub.ts';

export interface ScrubSettings {
  /** Every chunk is read once in so many days. */
  days: number;
  /** Of the files in both stores. */
  bytesPerSecondMax: number;
  /** What is missing or spoiled on one side is put back from the other. */
  repair: boolean;
}

export interface ScrubberOptions extends ScrubDeps {
  settings: ScrubSettings;
  audit: (event: AuditEvent) => Promise<void>;
  /** What an operator should see. */
  say: (line: string) => void;
  onError?: (where: string, thrown: unknown) => void;
  /** After the start: the service has others to serve first. */
  startMs?: number;
  /** Between looks at whether it is its turn. */
  lookMs?: number;
  /** What is wrong is looked at again, in case somebody has mended it. */
  recheckMs?: number;
}

type Problem = Omit<ScrubFinding, 'repaired'>;

interface Walk {
  startedUs: number;
  chunks: number;
  bytes: number;
  findings: number;
  repaired: number;
}

/** The entry's value. */
interface ScrubState extends Record<string, unknown> {
  /** Who has the lease, and until when; µs since 1970. */
  owner: string;
  leaseUntilUs: number;
  /** The walk under way: sessions up to `after` are done, and of `session` the chunks before `index`. */
  walk: (Walk & { after: string; session: string | null; index: number }) | null;
  last: (Walk & { endedUs: number }) | null;
  /** What is missing or spoiled and could not be put back; cut at 100, the count is not. */
  problems: Problem[];
  problemsCount: number;
}

export interface ScrubberView {
  /** Chunks that are missing or spoiled, as far as is known. */
  problems: number;
  /** Of the walk under way. */
  chunks: number;
  bytes: number;
  /** Put back in this walk and the last. */
  repaired: number;
  /** When the last whole walk ended; 0: none did. Seconds since 1970. */
  lastWalkSeconds: number;
}

const place = { kind: 'scrub', id: 'storage' } as const;
const leaseUs = 60_000_000;
const saveMs = 10_000;
const sliceMs = 5_000;
const dayUs = 86_400_000_000;
const chainsPage = 500;
const problemsMax = 100;
/** A small installation is read at once, not over weeks. */
const bytesPerSecondMin = 256 * 1024;
/** A walk is planned to be over before the next one should begin. */
const planned = 0.8;
const fresh = (owner: string): ScrubState => ({
  ...{ owner, leaseUntilUs: 0, walk: null, last: null },
  ...{ problems: [], problemsCount: 0 },
});

const isSame = (a: Problem, b: Problem): boolean => a.sessionId === b.sessionId && a.index === b.index;

/** Another process has the lease. */
class LeaseLost extends Error {}

export class Scrubber {
  readonly #options: ScrubberOptions;
  readonly #owner = randomUUID();
  readonly #stop = new AbortController();
  #state = fresh(this.#owner);
  #version = 0;
  #isOurs = false;
  #savedMs = 0;
  #recheckedMs = Number.NEGATIVE_INFINITY;
  #bytesPerSecond = bytesPerSecondMin;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: ScrubberOptions) {
    this.#options = options;
  }

  get view(): ScrubberView {
    const { walk, last, problemsCount } = this.#state;
    return {
      problems: problemsCount,
      chunks: walk?.chunks ?? 0,
      bytes: walk?.bytes ?? 0,
      repaired: (walk?.repaired ?? 0) + (last?.repaired ?? 0),
      lastWalkSeconds: Math.round((last?.endedUs ?? 0) / 1e6),
    };
  }

  /** Null while all is well. */
  get problem(): string | null {
    const { problemsCount, problems } = this.#state;
    const [first] = problems;
    if (problemsCount === 0 || first === undefined) return null;
    const what = problemsCount === 1 ? 'a stored chunk is' : `${problemsCount} stored chunks are`;
    return `${what} missing or spoiled (the first: session ${first.sessionId}, chunk ${first.index}): run lucid-sessions scrub --repair`;
  }

  start(): void {
    this.#loop = this.#run();
  }

  async dispose(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
    if (!this.#isOurs) return;
    this.#state.leaseUntilUs = 0;
    await this.#put().catch(() => {});
  }

  async #run(): Promise<void> {
    const { startMs = 300_000, lookMs = 30_000, onError } = this.#options;
    // What is known to be wrong is told at once.
    await this.#lead().catch((thrown: unknown) => onError?.('scrub', thrown));
    this.#isOurs = false;
    await this.#pause(startMs);
    while (!this.#stop.signal.aborted) {
      try {
        if (await this.#lead()) await this.#work();
      } catch (thrown) {
        this.#isOurs = false;
        if (!(thrown instanceof LeaseLost)) onError?.('scrub', thrown);
      }
      await this.#pause(lookMs);
    }
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#stop.signal, ref: false }).catch(() => {});
  }

  /** Takes the lease where nobody has it, and takes up what stands there. */
  async #lead(): Promise<boolean> {
    const { metadata, nowUs } = this.#options;
    const entry = await metadata.getEntry(place.kind, place.id);
    this.#version = entry?.version ?? 0;
    this.#state = (entry?.value as ScrubState | undefined) ?? fresh(this.#owner);
    this.#isOurs = this.#state.owner === this.#owner || this.#state.leaseUntilUs <= nowUs();
    return this.#isOurs;
  }

  /** Durable, and the lease is extended. Throws `LeaseLost`. */
  async #save(): Promise<void> {
    this.#state.owner = this.#owner;
    this.#state.leaseUntilUs = this.#options.nowUs() + leaseUs;
    await this.#put();
    this.#savedMs = performance.now();
  }

  async #put(): Promise<void> {
    const version = this.#version + 1;
    const entry: Entry = { ...place, owner: null, value: this.#state, version, untilUs: null };
    if (!(await this.#options.metadata.putEntry(entry))) throw new LeaseLost();
    this.#version = version;
  }

  async #work(): Promise<void> {
    const { settings, nowUs, metadata, copy, recheckMs = 600_000 } = this.#options;
    const { last } = this.#state;
    const isDue = last === null || nowUs() - last.startedUs >= settings.days * dayUs;
    const isRecheck = this.#state.problems.length > 0 && performance.now() - this.#recheckedMs >= recheckMs;
    if (this.#state.walk === null && !isDue && !isRecheck) return;
    await this.#save();
    const { storedBytes } = await metadata.totals();
    const neededBytes = storedBytes * (copy === null ? 1 : 2);
    const perSecond = neededBytes / (planned * settings.days * 86_400);
    this.#bytesPerSecond = Math.min(settings.bytesPerSecondMax, Math.max(bytesPerSecondMin, perSecond));
    if (isRecheck) await this.#recheck();
    if (this.#state.walk === null && !isDue) return this.#save();
    this.#state.walk ??= this.#begun();
    await this.#walk(this.#state.walk);
  }

  /** Of what is wrong and not named nothing is known until it is found again. */
  #begun(): NonNullable<ScrubState['walk']> {
    this.#state.problemsCount = this.#state.problems.length;
    return {
      ...{ startedUs: this.#options.nowUs(), chunks: 0, bytes: 0, findings: 0, repaired: 0 },
      ...{ after: '', session: null, index: 0 },
    };
  }

  async #recheck(): Promise<void> {
    for (const { sessionId, index } of [...this.#state.problems]) {
      if (this.#stop.signal.aborted) return;
      await this.#session(sessionId, index, index + 1);
    }
    this.#recheckedMs = performance.now();
  }

  async #walk(walk: NonNullable<ScrubState['walk']>): Promise<void> {
    const { metadata, nowUs } = this.#options;
    const { signal } = this.#stop;
    if (walk.session !== null) await this.#walkSession(walk, walk.session, walk.index);
    for (;;) {
      const page = await metadata.listChains(walk.after, chainsPage);
      for (const sessionId of page) {
        if (signal.aborted) return this.#save();
        await this.#walkSession(walk, sessionId, 0);
      }
      if (page.length < chainsPage) break;
    }
    if (signal.aborted) return this.#save();
    const { after: _, session: __, index: ___, ...counts } = walk;
    this.#state.last = { ...counts, endedUs: nowUs() };
    this.#state.walk = null;
    await this.#save();
  }

  async #walkSession(walk: NonNullable<ScrubState['walk']>, sessionId: string, from: number): Promise<void> {
    walk.session = sessionId;
    await this.#session(sessionId, from, Number.POSITIVE_INFINITY, async (index, bytes) => {
      walk.index = index + 1;
      walk.chunks += 1;
      walk.bytes += bytes;
    });
    if (this.#stop.signal.aborted) return;
    walk.after = sessionId;
    walk.session = null;
    walk.index = 0;
  }

  async #session(
    sessionId: string,
    from: number,
    to: number,
    count: (index: number, bytes: number) => Promise<void> = async () => {},
  ): Promise<void> {
    const scrub = new Scrub(this.#options, { repair: this.#options.settings.repair });
    let told = 0;
    let read = 0;
    const onChunk = async (index: number): Promise<void> => {
      const findings = scrub.report.findings.slice(told);
      told = scrub.report.findings.length;
      await this.#note({ sessionId, index }, findings);
      const bytes = scrub.report.bytesRead - read;
      read = scrub.report.bytesRead;
      await count(index, bytes);
      await this.#slowDown(bytes);
    };
    await scrub.session(sessionId, { signal: this.#stop.signal, from, to, onChunk }).catch((thrown: unknown) => {
      if (!isLucidError(thrown, 'sessionNotFound')) throw thrown;
    });
    // Gone with its session.
    if (to !== Number.POSITIVE_INFINITY && scrub.report.chunksChecked === 0) this.#forget({ sessionId, index: from });
  }

  /** Waits as long as what was read may take, and keeps the lease meanwhile. */
  async #slowDown(bytes: number): Promise<void> {
    let leftMs = (bytes / this.#bytesPerSecond) * 1000;
    for (;;) {
      if (performance.now() - this.#savedMs >= saveMs) await this.#save();
      if (leftMs <= 0 || this.#stop.signal.aborted) return;
      await this.#pause(Math.min(leftMs, sliceMs));
      leftMs -= sliceMs;
    }
  }

  #forget(chunk: Pick<Problem, 'sessionId' | 'index'>): void {
    const left = this.#state.problems.filter((known) => !isSame(known, { ...chunk, problem: known.problem }));
    this.#state.problemsCount -= this.#state.problems.length - left.length;
    this.#state.problems = left;
  }

  /** What was found of one chunk, in the place of what was known of it: the first that is named stays the first. */
  async #note(chunk: Pick<Problem, 'sessionId' | 'index'>, findings: readonly ScrubFinding[]): Promise<void> {
    const known = this.#state.problems.filter((each) => isSame(each, { ...chunk, problem: each.problem }));
    const before = known[0] === undefined ? -1 : this.#state.problems.indexOf(known[0]);
    this.#forget(chunk);
    let place = before === -1 ? this.#state.problems.length : before;
    const { walk } = this.#state;
    for (const { repaired, ...problem } of findings) {
      if (walk !== null) walk.findings += 1;
      if (walk !== null && repaired) walk.repaired += 1;
      const isNews = !known.some((each) => each.problem === problem.problem);
      if (!repaired) {
        this.#state.problemsCount += 1;
        if (this.#state.problems.length < problemsMax) this.#state.problems.splice(place, 0, problem);
        place += 1;
      }
      if (repaired || isNews) await this.#tell(problem, repaired);
    }
    if (findings.length > 0) await this.#save();
  }

  async #tell(problem: Problem, repaired: boolean): Promise<void> {
    const { audit, say, nowUs } = this.#options;
    const { sessionId, index } = problem;
    const what = problem.problem.replaceAll('_', ' ');
    say(
      repaired
        ? `session ${sessionId}, chunk ${index}: ${what}; it was put back, and is whole again`
        : `ALARM session ${sessionId}, chunk ${index}: ${what}, and nothing here puts it back: see lucid-sessions scrub`,
    );
    await audit({
      eventId: randomUUID(),
      timestampUs: nowUs(),
      eventType: repaired ? 'chunk_repaired' : 'chunk_damaged',
      userId: null,
      resourceId: sessionId,
      ipAddress: null,
      userAgent: null,
      success: repaired,
      errorMessage: repaired ? null : what,
      details: { chunk_index: index, problem: problem.problem },
    });
  }
}
