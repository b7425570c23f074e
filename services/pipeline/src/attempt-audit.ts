/**
 * How much the audit log may grow by connections that became nothing: anybody can make them. So many are written one by one; what
 * comes beyond, and what a full disk doesn't take, is counted in memory and told once a minute, one entry for each outcome and
 * reason. A pipeline that dies loses the counts of that minute; the recorder's log has the first of every kind from every address.
 */
import { type ConnectionAttempt, LucidError } from '@lucid-sessions/contract';
import { type BucketState, type Pace, TokenBucket } from '@lucid-sessions/kit';
import { AgreedSpace } from './agreed-space.ts';
import type { Coordination } from './ports.ts';

export interface AttemptAuditOptions {
  coordination: Coordination;
  append: (attempt: ConnectionAttempt) => Promise<void>;
  nowUs: () => number;
  newId: () => string;
  /** Entries of strangers, one by one; those of sessions that are there have as much again four times over. */
  perMinute: number;
}

/** At once, before the pace counts. */
const burstMinutes = 5;
/** A bucket that nobody took from for so long is full. */
const fullAgainUs = burstMinutes * 60_000_000;
const knownShare = 4;
/** Outcomes and reasons are words of ours; whatever comes, they are no more. */
const kindsMax = 200;

export class AttemptAudit {
  readonly #options: AttemptAuditOptions;
  /** One pace for all pipelines. */
  readonly #buckets: AgreedSpace<BucketState>;
  readonly #together = new Map<string, ConnectionAttempt>();

  constructor(options: AttemptAuditOptions) {
    this.#options = options;
    this.#buckets = new AgreedSpace(options.coordination, 'attempts', options.nowUs);
  }

  async #mayAppend(kind: 'strangers' | 'known'): Promise<boolean> {
    const { perMinute: ofStrangers, nowUs } = this.#options;
    const perMinute = kind === 'known' ? knownShare * ofStrangers : ofStrangers;
    const pace: Pace = { burst: burstMinutes * perMinute, perSecond: perMinute / 60 };
    let isTaken = false;
    await this.#buckets.change(kind, (known) => {
      const bucket = new TokenBucket(pace, nowUs(), known ?? undefined);
      isTaken = bucket.take(nowUs());
      return isTaken ? { value: bucket.state, untilUs: nowUs() + fullAgainUs } : null;
    });
    return isTaken;
  }

  /** `isKnown`: it is of a session that is there. Rejects where it should be told again. */
  async tell(attempt: ConnectionAttempt, isKnown: boolean): Promise<void> {
    if (await this.#mayAppend(isKnown ? 'known' : 'strangers')) await this.#append(attempt);
    else this.#count(attempt);
  }

  /** Once a minute, and at the end. */
  async flush(): Promise<void> {
    const told = [...this.#together.values()];
    this.#together.clear();
    for (const attempt of told) await this.#append(attempt);
  }

  async #append(attempt: ConnectionAttempt): Promise<void> {
    try {
      await this.#options.append(attempt);
    } catch (thrown) {
      // Nobody shall fill a disk's last room by knocking: it waits here, and the recorder need not ask again and again.
      if (!(thrown instanceof LucidError && thrown.status === 507)) throw thrown;
      this.#count(attempt);
    }
  }

  #count(attempt: ConnectionAttempt): void {
    const { outcome, reason, count } = attempt;
    const own = `${outcome} ${reason}`;
    const kind = this.#together.has(own) || this.#together.size < kindsMax ? own : 'others';
    const known = this.#together.get(kind);
    // The last one stands for all of them.
    const connectionId = known?.connectionId ?? this.#options.newId();
    this.#together.set(kind, { ...attempt, connectionId, sessionId: null, count: count + (known?.count ?? 0) });
  }
}
