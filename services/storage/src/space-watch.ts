/**
 * Whether there is room to record. Below `recordingBytesMin` nothing new begins and what can be made again is not written;
 * chunks that are on their way still find room, down to the reserve. Operators are told before that, and each time it changes.
 */
import { LucidError, mebibytesText, type SpaceBounds, spaceBounds } from '@lucid-sessions/contract';
import type { ChunkStore, DiskSpace, SpaceReserve } from './stores.ts';

export interface SpaceWatchOptions {
  chunks: Pick<ChunkStore, 'space'>;
  reserve?: SpaceReserve;
  say: (line: string) => void;
  everyMs?: number;
}

export type SpaceState = 'enough' | 'low' | 'no_recording';

export interface SpaceView extends DiskSpace {
  state: SpaceState;
}

/** Where nothing is written to a disk, as with a bucket alone: whether it has room shows when a chunk is refused. */
const boundless: SpaceView = { freeBytes: 0, totalBytes: 0, isReserveHeld: true, state: 'enough' };

/** A measure is good for so long; what was admitted since is counted. */
const measureMsMax = 100;
const watchMs = 5000;

const order: readonly SpaceState[] = ['enough', 'low', 'no_recording'];

/** Without the reserve in place twice as much is left alone: what was given up must not be recorded over. */
const floorOf = ({ totalBytes, isReserveHeld }: DiskSpace, pick: (bounds: SpaceBounds) => number): number => {
  const bounds = spaceBounds(totalBytes);
  return pick(bounds) + (isReserveHeld ? 0 : bounds.reserveBytes);
};

export function spaceStateOf(disk: DiskSpace): SpaceState {
  if (disk.freeBytes < floorOf(disk, ({ recordingBytesMin }) => recordingBytesMin)) return 'no_recording';
  return disk.freeBytes < spaceBounds(disk.totalBytes).alarmBytesMin ? 'low' : 'enough';
}

export class SpaceWatch {
  readonly #options: SpaceWatchOptions;
  #measured: { atMs: number; disks: DiskSpace[] } | null = null;
  /** Bytes let through since. */
  #admittedBytes = 0;
  #told: SpaceState = 'enough';
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> = Promise.resolve();

  constructor(options: SpaceWatchOptions) {
    this.#options = options;
  }

  start(): void {
    const look = (): void => {
      this.#looking = this.look().catch(() => {});
    };
    look();
    this.#timer = setInterval(look, this.#options.everyMs ?? watchMs);
    this.#timer.unref();
  }

  /** The disk that is worst off. */
  async view(): Promise<SpaceView> {
    const disks = await this.#disks();
    const [first = boundless, ...others] = disks.map((disk): SpaceView => ({ ...disk, state: spaceStateOf(disk) }));
    return others.reduce(
      (worst, view) => (order.indexOf(view.state) > order.indexOf(worst.state) ? view : worst),
      first,
    );
  }

  async look(): Promise<void> {
    await this.#options.reserve?.restore();
    this.#measured = null;
    const { state, ...disk } = await this.view();
    if (state === this.#told) return;
    const wasWorse = order.indexOf(this.#told) > order.indexOf(state);
    this.#told = state;
    this.#options.say(`${wasWorse ? '' : 'ALARM '}${spaceMessage(state, disk)}`);
  }

  /** Throws 507 when `bytes` more of a chunk that is on its way would reach the reserve. */
  async checkChunk(bytes: number): Promise<void> {
    await this.#check(bytes, ({ reserveBytes }) => reserveBytes);
  }

  /** Throws 507 when nothing new may be recorded. */
  async checkRecording(bytes = 0): Promise<void> {
    await this.#check(bytes, ({ recordingBytesMin }) => recordingBytesMin);
  }

  async #check(bytes: number, pick: (bounds: SpaceBounds) => number): Promise<void> {
    for (const disk of await this.#disks()) {
      const left = disk.freeBytes - this.#admittedBytes - bytes;
      if (left >= floorOf(disk, pick)) continue;
      throw new LucidError('storage', `the disk is full; ${spaceMessage('no_recording', disk)}`, {
        status: 507,
        details: { free_bytes: disk.freeBytes, needed_bytes: Math.ceil(floorOf(disk, pick)) + bytes },
      });
    }
    this.#admittedBytes += bytes;
  }

  async #disks(): Promise<DiskSpace[]> {
    const nowMs = performance.now();
    if (this.#measured !== null && nowMs - this.#measured.atMs < measureMsMax) return this.#measured.disks;
    const { chunks, reserve } = this.#options;
    const kept = (await reserve?.disks()) ?? [];
    const own = kept.length > 0 ? null : await chunks.space();
    const disks = own === null ? kept : [{ ...own, isReserveHeld: true }];
    this.#measured = { atMs: nowMs, disks };
    this.#admittedBytes = 0;
    return disks;
  }

  async dispose(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#looking;
  }
}

export function spaceMessage(state: SpaceState, disk: DiskSpace): string {
  const free = mebibytesText(disk.freeBytes);
  const least = mebibytesText(floorOf(disk, ({ recordingBytesMin }) => recordingBytesMin));
  if (state === 'no_recording')
    return `nothing is recorded with less than ${least} free, and ${free} are: delete or add room`;
  if (state === 'low') return `the disk is nearly full: ${free} are free, recording stops below ${least}`;
  return `the disk has room again: ${free} are free`;
}
