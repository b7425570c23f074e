import type { FromWorker, Verdict } from '../protocol.ts';
import type { ChunkTable } from './chunk-table.ts';
import type { EvidenceCheck } from './evidence-check.ts';
import { verdictsUnknown } from './verdicts.ts';

/** Recordings up to this size are checked to the last chunk without being asked to. */
const checkAtOnceBytes = 24 << 20;
const checkAtOnceChunks = 200;
/** How often it is asked how far a recording was walked through. */
const replayWaitMs = 1000;
const replayWaitMsMax = 30_000;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export interface EvidenceWatchHooks {
  send(message: FromWorker): void;
  /** Nobody looks any more, or the session still runs: there is nothing to wait for. */
  isOver(): boolean;
}

/** Has a recording's evidence checked, and tells the page what that comes to as it comes. */
export class EvidenceWatch {
  readonly #check: EvidenceCheck;
  readonly #table: ChunkTable;
  readonly #hooks: EvidenceWatchHooks;
  readonly #recordsChecked = Promise.withResolvers<void>();
  /** Asking how far the recording was walked through, as long as that is under way. */
  #following: Promise<void> | null = null;

  constructor(check: EvidenceCheck, table: ChunkTable, hooks: EvidenceWatchHooks) {
    this.#check = check;
    this.#table = table;
    this.#hooks = hooks;
  }

  async begin(): Promise<void> {
    try {
      const verdicts = await this.#check.checkRecords().finally(() => this.#recordsChecked.resolve());
      this.#tell(verdicts);
      if (this.#table.totalBytes <= checkAtOnceBytes && this.#table.length <= checkAtOnceChunks)
        await this.checkEveryChunk();
      void this.#follow();
    } catch (error) {
      this.#tell(verdictsUnknown(error instanceof Error ? error.message : ''));
    }
  }

  /** Files that came before their leaves are looked at when they are there: playback waits for no check. */
  async noteFile(index: number, file: Uint8Array): Promise<void> {
    await this.#recordsChecked.promise;
    if (await this.#check.noteFile(index, file)) this.#tell(this.#check.verdicts());
  }

  /** Whether the records say that it was imported; waits for them. */
  async isImported(): Promise<boolean> {
    await this.#recordsChecked.promise;
    return this.#check.imported !== null;
  }

  /** Has the server walk through the recording. */
  async examine(): Promise<void> {
    if (this.#hooks.isOver()) return;
    try {
      this.#examining('Examining…');
      await this.#check.examine();
    } catch (error) {
      this.#examining(error instanceof Error ? error.message : null);
      return;
    }
    await this.#follow();
  }

  async checkEveryChunk(): Promise<void> {
    const total = this.#table.length;
    if (this.#hooks.isOver()) return;
    const progress = (checked: number): void => this.#hooks.send({ type: 'checkProgress', checked, total });
    progress(0);
    const verdicts = await this.#check.checkEveryChunk(progress);
    progress(total);
    this.#tell(verdicts);
  }

  /** Opening a recording has its keyframes made, for which it is decoded: the result is shown when it is there. */
  async #follow(): Promise<void> {
    if (this.#check.isExamined) return;
    this.#following ??= this.#waitForReplay().finally(() => {
      this.#following = null;
    });
    await this.#following;
  }

  async #waitForReplay(): Promise<void> {
    try {
      for (let waitMs = replayWaitMs; !this.#hooks.isOver(); waitMs = Math.min(waitMs * 2, replayWaitMsMax)) {
        const { isKnown, text } = await this.#check.replayProgress();
        if (isKnown) this.#tell(await this.#check.refreshReplay());
        this.#examining(text);
        if (isKnown || text === null) break;
        await sleep(waitMs);
      }
    } catch (error) {
      this.#examining(error instanceof Error ? error.message : null);
    }
  }

  #examining(text: string | null): void {
    this.#hooks.send({ type: 'examining', text });
  }

  #tell(verdicts: Verdict[]): void {
    this.#hooks.send({ type: 'verdicts', verdicts, imported: this.#check.imported });
  }
}
