export interface PaceOptions {
  fromUs: number;
  framesPerSecond: number;
  /** Recorded seconds per second of video. */
  speed: number;
  skipIdle: boolean;
}

/** Nothing recorded for longer than this: idle. Of it a moment stays before what comes next. The player does the same. */
const idleUs = 2_000_000;
const idleLeadUs = 300_000;

/** Which picture of a video of constant rate belongs to which moment of the recording. */
export class VideoPace {
  readonly #options: PaceOptions;
  #lastUs: number;
  #skippedUs = 0;
  #picturesCount = 0;

  constructor(options: PaceOptions) {
    this.#options = options;
    this.#lastUs = options.fromUs;
  }

  get picturesCount(): number {
    return this.#picturesCount;
  }

  /** Where a moment of the recording lies in the video; times are asked for in order. */
  videoUs(timeUs: number): number {
    return (timeUs - this.#options.fromUs - this.#skippedUs) / this.#options.speed;
  }

  /** Pictures that show what was there before `timeUs`. Times never go back. */
  before(timeUs: number): number {
    return this.#advance(timeUs, (position) => Math.ceil(position));
  }

  /** Pictures up to the end, which itself is always shown. */
  end(timeUs: number): number {
    return this.#advance(timeUs, (position) => Math.ceil(position) + 1);
  }

  #advance(timeUs: number, countAt: (position: number) => number): number {
    const { fromUs, framesPerSecond, skipIdle } = this.#options;
    if (timeUs < fromUs) return 0;
    const gapUs = timeUs - this.#lastUs;
    if (skipIdle && gapUs > idleUs) this.#skippedUs += gapUs - idleLeadUs;
    this.#lastUs = timeUs;
    const due = Math.max(0, countAt((this.videoUs(timeUs) * framesPerSecond) / 1_000_000) - this.#picturesCount);
    this.#picturesCount += due;
    return due;
  }
}
