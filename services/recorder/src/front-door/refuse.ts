/** Telling a client no: in words on a screen of ours where it has got so far, else by an error code its user reads in its own words. */
import type { FrontState } from '@lucid-sessions/rdp';
import { SequenceEnded } from './driver.ts';
import type { ConnectFailure } from './failure.ts';
import { type HeldClient, holdClient } from './held-client.ts';
import type { Arrival } from './joining.ts';
import { refusalDialog } from './refusal-words.ts';
import { refusalMs } from './straight-joining.ts';

/** Who is told no. `asked` is there once it has asked for something: before that there is nobody to talk to. */
export type Refused = Pick<Arrival, 'connectionId' | 'context' | 'client' | 'front'> & {
  asked: Arrival['asked'] | null;
};

/** Pictures cost more than error codes: beyond so many at once everybody gets a code. */
const shownMax = 32;

/** From here a client can be brought to a desktop. */
const seeing: ReadonlySet<FrontState> = new Set<FrontState>(['decision', 'tls', 'connectInitial', 'begun']);

/** How long a refusal is shown, and how many are at the moment. */
export class RefusalScreens {
  readonly showMs: number;
  #shown = 0;

  /** 0: error codes alone. */
  constructor(showMs: number) {
    this.showMs = showMs;
  }

  /** False: show none. True: `leave` follows. */
  enter(): boolean {
    if (this.showMs === 0 || this.#shown >= shownMax) return false;
    this.#shown += 1;
    return true;
  }

  leave(): void {
    this.#shown -= 1;
  }
}

/** Resolves when the client has listened, or had the time to. */
export async function refuse(refused: Refused, held: HeldClient | null, failure: ConnectFailure): Promise<void> {
  if (held !== null) return refuseHeld(refused.context, refused.connectionId, held, failure);
  const { context, client, front, asked } = refused;
  if (asked === null || !seeing.has(front.state) || !context.refusals.enter()) return byCode(refused, failure);
  await shown(context, async () => {
    const shows = await holdClient({ client, front, asked, untilMs: performance.now() + refusalMs }, 'passthrough');
    await tell(context, refused.connectionId, shows, failure);
  });
}

/** The same for one that is held. */
export async function refuseHeld(
  context: Refused['context'],
  connectionId: string,
  held: HeldClient,
  failure: ConnectFailure,
): Promise<void> {
  if (!context.refusals.enter()) return held.end(failure.errorInfo);
  await shown(context, () => tell(context, connectionId, held, failure));
}

async function tell(
  { refusals }: Refused['context'],
  connectionId: string,
  held: HeldClient,
  failure: ConnectFailure,
): Promise<void> {
  await held.clientInfo();
  await held.ask(refusalDialog(failure, connectionId), refusals.showMs);
  await held.end(failure.errorInfo);
}

/** One that leaves meanwhile has heard enough. */
async function shown({ refusals }: Refused['context'], showing: () => Promise<void>): Promise<void> {
  try {
    await showing();
  } catch (error) {
    if (!(error instanceof SequenceEnded)) throw error;
  } finally {
    refusals.leave();
  }
}

async function byCode({ client, front }: Refused, { errorInfo }: ConnectFailure): Promise<void> {
  client.run(front.refuse(errorInfo));
  client.limit(refusalMs, 'the client was too slow to be told');
  if (client.isDriving) await client.over.catch(() => {});
}
