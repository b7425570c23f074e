/**
 * Who asked to see a recording, who agreed, and whose shares of its key are in: agreed on like approvals, never stored. What happened is
 * told by custody and the audit log; after a restart of a pipeline that was alone people ask again.
 */
import {
  LucidError,
  type PipelinePort,
  type SealedShare,
  unlockersMax,
  type ViewingRequest,
  viewingState,
} from '@lucid-sessions/contract';
import { AgreedSpace } from './agreed-space.ts';
import type { Coordination } from './ports.ts';

const hourUs = 3_600_000_000;
/** A request nobody answers is over after a day. */
const waitUs = 24 * hourUs;
/** Who asked shall see that it was refused. */
const refusedUs = hourUs;
const openMax = 10_000;
const openPerUserMax = 200;
/** An API process says every 20 s that it is here. */
const unlockerUs = 60_000_000;

interface Unlocker {
  recipient: string;
}

const keyOf = ({ sessionId, viewingId }: Pick<ViewingRequest, 'sessionId' | 'viewingId'>): string =>
  `${sessionId}/${viewingId}`;

export class ViewingRequests {
  readonly #nowUs: () => number;
  readonly #requests: AgreedSpace<ViewingRequest>;
  readonly #unlockers: AgreedSpace<Unlocker>;

  constructor(coordination: Coordination, nowUs: () => number) {
    this.#nowUs = nowUs;
    this.#requests = new AgreedSpace(coordination, 'viewing', nowUs);
    this.#unlockers = new AgreedSpace(coordination, 'unlocker', nowUs);
  }

  async ask({ viewing }: Parameters<PipelinePort['askViewing']>[0]): Promise<ViewingRequest> {
    const open = await this.#requests.list();
    const mine = open.filter(({ by }) => by === viewing.by).length;
    if (open.length >= openMax || mine >= openPerUserMax)
      throw new LucidError('rateLimited', 'too many requests to see recordings are open; wait until some are answered');
    const now = this.#nowUs();
    const asked = settled(
      {
        ...viewing,
        askedUs: now,
        decision: null,
        shares: [],
        grantedUs: null,
        usedUs: null,
        operations: [],
        untilUs: now + waitUs,
      },
      now,
    );
    if (await this.#requests.add(keyOf(viewing), asked, asked.untilUs)) return asked;
    // Sent again, after its answer was lost.
    return this.#changed(viewing, (known) => known);
  }

  async list(sessionId?: string): Promise<ViewingRequest[]> {
    const found = await (sessionId === undefined ? this.#requests.list() : this.#requests.listUnder(`${sessionId}/`));
    return found.sort((a, b) => a.askedUs - b.askedUs);
  }

  decide({ approve, by, reason, ...of }: Parameters<PipelinePort['decideViewing']>[0]): Promise<ViewingRequest> {
    return this.#changed(of, (known, now) => {
      if (known.by === by)
        throw new LucidError('forbidden', 'nobody can agree to what they asked for: it takes a second person');
      const { decision } = known;
      if (decision?.approved === approve && decision.by === by) return known;
      if (approve && (!known.approval || decision !== null))
        throw new LucidError('notInThisState', 'this request waits for nobody to agree (any more)');
      if (decision?.approved === false) throw new LucidError('notInThisState', 'this request was refused already');
      return settled({ ...known, decision: { approved: approve, by, reason, atUs: now } }, now);
    });
  }

  share({ share, ...of }: { sessionId: string; viewingId: string; share: SealedShare }): Promise<ViewingRequest> {
    return this.#changed(of, (known, now) => {
      if (known.threshold === null) throw new LucidError('notInThisState', 'the key of this recording is not shared');
      if (viewingState(known) !== 'waiting')
        throw new LucidError('notInThisState', 'this request waits for no share (any more)');
      if (known.shares.some(({ index }) => index === share.index))
        throw new LucidError('conflict', `share ${share.index} is given already; it takes another holder's`);
      return settled({ ...known, shares: [...known.shares, share] }, now);
    });
  }

  use({ operation, handsOut, ...of }: Parameters<PipelinePort['useViewing']>[0]): Promise<ViewingRequest> {
    return this.#changed(of, (known, now) => {
      if (viewingState(known) !== 'granted' && !(viewingState(known) === 'used' && !handsOut))
        throw new LucidError('viewingNeeded', 'this grant is used up or was taken back: ask again');
      const operations = known.operations.includes(operation) ? known.operations : [...known.operations, operation];
      return { ...known, operations, usedUs: handsOut ? now : known.usedUs };
    });
  }

  async unlockerHere({ processId, recipient }: { processId: string; recipient: string }): Promise<number> {
    const untilUs = this.#nowUs() + unlockerUs;
    await this.#unlockers.change(processId, () => ({ value: { recipient }, untilUs }));
    return untilUs;
  }

  async unlockers(): Promise<string[]> {
    return (await this.#unlockers.list()).map(({ recipient }) => recipient).slice(0, unlockersMax);
  }

  async #changed(
    of: Pick<ViewingRequest, 'sessionId' | 'viewingId'>,
    edit: (known: ViewingRequest, nowUs: number) => ViewingRequest,
  ): Promise<ViewingRequest> {
    const changed = await this.#requests.change(keyOf(of), (known) => {
      if (known === null) throw new LucidError('recordNotFound', 'there is no such request (any more): ask again');
      const value = edit(known, this.#nowUs());
      return value === known ? null : { value, untilUs: value.untilUs };
    });
    return changed!;
  }
}

/** What a change makes of it: granted from the moment nothing is missing, over at once where it was refused. */
function settled(viewing: ViewingRequest, nowUs: number): ViewingRequest {
  const { approval, decision, threshold, shares, grantedUs, minutes } = viewing;
  // The shares of who was refused are worth nothing to anybody.
  if (decision?.approved === false) return { ...viewing, shares: [], untilUs: nowUs + refusedUs };
  const isMissing = (approval && decision === null) || (threshold !== null && shares.length < threshold);
  if (isMissing || grantedUs !== null) return viewing;
  return { ...viewing, grantedUs: nowUs, untilUs: nowUs + minutes * 60_000_000 };
}
