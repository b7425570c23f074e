import type { Screen } from '../screen.ts';

/**
 * Counts what a viewer would call frames: between the server's markers ([MS-RDPBCGR] 2.2.9.2.3, [MS-RDPEGDI]
 * 2.2.2.2.1.3.7), or each update of servers that mark none.
 */
export class FrameCounter {
  readonly #screen: Screen;
  #open = false;
  #marked = false;

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  begin(): void {
    this.#open = true;
    this.#marked = true;
  }

  end(): void {
    this.#open = false;
    this.#marked = true;
    this.#screen.framesCount += 1;
  }

  /** An update was drawn: a frame of its own unless it marked frames or lies in one. */
  updateDone(): void {
    if (!this.#open && !this.#marked) this.#screen.framesCount += 1;
    this.#marked = false;
  }

  /** Whether a frame is open. */
  snapshot(): boolean {
    return this.#open;
  }

  restore(open: boolean): void {
    this.#open = open;
    this.#marked = false;
  }
}
