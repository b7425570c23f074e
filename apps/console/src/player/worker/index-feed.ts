import type { FromWorker, PlayerEvent } from '../protocol.ts';
import { scaleActivity } from './chunk-table.ts';
import { noIndexText, type RecordingIndex } from './recording-index.ts';

/** Events of a recording, page by page. */
export type EventSource = Pick<RecordingIndex, 'remark' | 'hidesLogon' | 'showLogon' | 'first' | 'next'>;

/** Tells the page what the index says, as far as it was made; a running session's goes on. */
export class IndexFeed {
  readonly #index: EventSource;
  readonly #send: (message: FromWorker) => void;
  /** The reading that counts: one begun anew ends the one before. */
  #reading: object | null = null;

  constructor(index: EventSource, send: (message: FromWorker) => void) {
    this.#index = index;
    this.#send = send;
  }

  /** From the first page on. `anew`: the page is to forget what it was told. */
  async read(durationUs: number, parts: number, anew = false): Promise<void> {
    const reading = {};
    this.#reading = reading;
    try {
      const { activity, ...first } = await this.#index.first(durationUs, parts);
      this.#send({ type: 'activity', values: scaleActivity(activity) });
      this.#tell(first.events, anew);
      for (let { more } = first; more && this.#reading === reading; ) more = await this.more();
    } catch (error) {
      this.#send({ type: 'events', events: [], remark: noIndexText(error), hidesLogon: false, anew: false });
    }
  }

  /** … what was typed before the logon included. */
  readWithLogon(durationUs: number, parts: number): Promise<void> {
    this.#index.showLogon();
    return this.read(durationUs, parts, true);
  }

  /** What came since, or the next page; whether there is more. */
  async more(): Promise<boolean> {
    const { events, more } = await this.#index.next();
    this.#tell(events);
    return more;
  }

  stop(): void {
    this.#reading = null;
  }

  #tell(events: PlayerEvent[], anew = false): void {
    const { remark, hidesLogon } = this.#index;
    this.#send({ type: 'events', events, remark, hidesLogon, anew });
  }
}
