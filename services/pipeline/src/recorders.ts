/** The recorders there are: each says every few seconds who it is, and is gone when it does not. */
import { createHash } from 'node:crypto';
import { LucidError, type PipelinePort, type RecorderPort, type RecorderPresence } from '@lucid-sessions/contract';
import { AgreedSpace } from './agreed-space.ts';
import { type Context, loadJournal } from './context.ts';
import type { Coordination } from './ports.ts';

/** Without a word for so long it is gone. */
const quietUsMax = 10_000_000;
/** So long it is remembered that there was one. */
const rememberedUs = 3_600_000_000;

type SpoolTakeOver = Parameters<PipelinePort['takeOverSpool']>[0];

interface Entry extends RecorderPresence {
  heardUs: number;
}

export class Recorders {
  readonly #entries: AgreedSpace<Entry>;
  /** Who recovers the spool of one that is gone. */
  readonly #heirs: AgreedSpace<{ by: string }>;
  readonly #nowUs: () => number;
  readonly #startedUs: number;

  constructor(coordination: Coordination, nowUs: () => number) {
    this.#entries = new AgreedSpace(coordination, 'recorder', nowUs);
    this.#heirs = new AgreedSpace(coordination, 'spool-heir', nowUs);
    this.#startedUs = nowUs();
    this.#nowUs = nowUs;
  }

  /** Throws `conflict`: a recorder of this name is here already, behind another address. What is said to it reaches that one alone. */
  async hear(presence: RecorderPresence): Promise<void> {
    const { recorderId, url } = presence;
    const heardUs = this.#nowUs();
    const there = await this.#entries.change(keyOf(recorderId), (known) =>
      known !== null && known.url !== url && this.#isHere(known)
        ? null
        : { value: { ...presence, heardUs }, untilUs: heardUs + rememberedUs },
    );
    if (there !== null && there.url !== url)
      throw new LucidError(
        'conflict',
        `a recorder ${recorderId} is here already, at ${there.url}: each needs a name of its own (LUCID_RECORDER_ID)`,
      );
  }

  #isHere({ heardUs }: Entry): boolean {
    return this.#nowUs() - heardUs < quietUsMax;
  }

  async here(): Promise<RecorderPresence[]> {
    return (await this.#entries.list()).filter((entry) => this.#isHere(entry)).map(presenceOf);
  }

  async find(recorderId: string): Promise<RecorderPresence | null> {
    const entry = await this.#entries.get(keyOf(recorderId));
    return entry !== null && this.#isHere(entry) ? presenceOf(entry) : null;
  }

  /** Whether `by` may recover the spool of `recorderId`: that one has been quiet for so long, and nobody else does. */
  async takeOverSpool({ recorderId, by, quietSeconds }: SpoolTakeOver): Promise<{ granted: boolean }> {
    const nowUs = this.#nowUs();
    // Of one that nobody has heard of since this pipeline began, only that time is known.
    const known = await this.#entries.get(keyOf(recorderId));
    const heardUs = known?.heardUs ?? this.#startedUs;
    const quietUs = Math.max(quietSeconds * 1_000_000, quietUsMax);
    if (recorderId === by || nowUs - heardUs < quietUs) return { granted: false };
    // Another one's copy is older: what it lacks could not be added any more.
    if (known?.copiedTo !== undefined && known.copiedTo !== by) return { granted: false };
    const heir = await this.#heirs.change(keyOf(recorderId), (known) =>
      known === null || known.by === by ? { value: { by }, untilUs: nowUs + rememberedUs } : null,
    );
    return { granted: heir?.by === by };
  }

  /** Those that were here within the hour and are not any more. */
  async gone(): Promise<string[]> {
    return (await this.#entries.list()).filter((entry) => !this.#isHere(entry)).map(({ recorderId }) => recorderId);
  }
}

/** Whatever an operator calls a recorder. */
const keyOf = (recorderId: string): string => createHash('sha256').update(recorderId).digest('hex');

const presenceOf = ({ heardUs: _, ...presence }: Entry): RecorderPresence => presence;

/**
 * The recorder of this name. A pipeline that is alone has those that were configured; where there are several, one that is not
 * heard of is not mistaken for another.
 */
export async function recorderNamed({ deps, recorders }: Context, recorderId: string | null): Promise<RecorderPort> {
  const here = recorderId === null ? null : await recorders.find(recorderId);
  const mayBeAnother = deps.coordination !== undefined && recorderId !== null && here === null;
  if (mayBeAnother && (await recorders.here()).length > 0)
    throw new LucidError('unavailable', `the recorder ${recorderId} has not been heard of for ${quietUsMax / 1e6} s`);
  return deps.recorder(recorderId, here?.url ?? null);
}

export async function recorderOf(context: Context, sessionId: string): Promise<{ recorder: RecorderPresence | null }> {
  const { recorderId, connected } = await loadJournal(context, sessionId);
  return { recorder: recorderId === null || !connected ? null : await context.recorders.find(recorderId) };
}
