import type { RestAnswer, RestQuery } from '@lucid-sessions/contract/rest-client';
import type { IndexEvent } from '@lucid-sessions/recording/session-index';
import { type ApiClient, ApiError } from '../../api/client.ts';
import type { PlayerEvent } from '../protocol.ts';
import { playerEventOf } from './event-text.ts';

const pageSize = 10_000;
/** What the list holds at most: a tab's memory must not grow with the recording. */
export const eventsMax = 100_000;
/** What was begun before the end known so far may have been put in among these. */
const overlap = 200;

type EventPage = RestAnswer<'listEvents'>;

/** Names as the code has them; the API writes them in snake case. */
function camel(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(camel);
  if (typeof value !== 'object' || value === null) return value;
  const named = Object.entries(value).map(([name, child]) => [
    name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    camel(child),
  ]);
  return Object.fromEntries(named);
}

/** What the installation's index says of a recording: events, page by page, and activity. */
export class RecordingIndex {
  readonly #api: ApiClient;
  readonly #params: { session_id: string };
  /** Texts are asked for by who may see them, and only by them: every look is audited. */
  #inputs = false;
  /** The last events read, to tell which of a page are new. */
  #last: string[] = [];
  #read = 0;
  #remark = '';
  #logon = false;
  #hidesLogon = false;

  constructor(api: ApiClient, sessionId: string) {
    this.#api = api;
    this.#params = { session_id: sessionId };
  }

  /** What is not in the events read so far, and why. */
  get remark(): string {
    return this.#remark;
  }

  /** What was typed before the host said who logged on is not shown, though its reader may see it. */
  get hidesLogon(): boolean {
    return this.#hidesLogon;
  }

  /** Shows that too: the pages are read again from the first, and the installation writes down who looked. */
  showLogon(): void {
    this.#logon = true;
    this.#hidesLogon = false;
    this.#read = 0;
    this.#last = [];
  }

  /** The first page, and the activity of the whole recording in equal parts of its duration. */
  async first(
    durationUs: number,
    parts: number,
  ): Promise<{ events: PlayerEvent[]; activity: Float32Array; more: boolean }> {
    const { permissions } = await this.#api.rest.whoAmI();
    this.#inputs = permissions.includes('recordings:inputs');
    const page = await this.#api.rest.getIndex({ params: this.#params, query: this.#query(0) });
    const activity = new Float32Array(parts);
    for (const [second, fromServer, fromClient] of page.activity) {
      const part = Math.min(parts - 1, Math.floor((second * 1e6 * parts) / Math.max(1, durationUs)));
      activity[part]! += fromServer + fromClient;
    }
    return { events: this.#take(page), activity, more: this.#more(page) };
  }

  /** What came since, or the next page. */
  async next(): Promise<{ events: PlayerEvent[]; more: boolean }> {
    const query = this.#query(Math.max(0, this.#read - overlap));
    const page = await this.#api.rest.listEvents({ params: this.#params, query });
    return { events: this.#take(page), more: this.#more(page) };
  }

  #query(offset: number): RestQuery<'listEvents'> {
    const page = { limit: pageSize, offset };
    if (!this.#inputs) return page;
    return this.#logon ? { ...page, inputs: true, logon: true } : { ...page, inputs: true };
  }

  #take({ events, dropped, pagination }: EventPage): PlayerEvent[] {
    const known = new Set(this.#last);
    const lines = events.map((event) => JSON.stringify(event));
    const fresh = events.filter((_, at) => !known.has(lines[at]!)).slice(0, eventsMax - this.#read);
    this.#last = [...this.#last, ...lines].slice(-2 * overlap);
    this.#read += fresh.length;
    const left = pagination.total > eventsMax ? pagination.total - eventsMax : 0;
    const remarks = [
      this.#inputs ? '' : 'Typed and copied texts need the right recordings:inputs.',
      left + dropped > 0 ? `${left + dropped} events are not in the list.` : '',
    ];
    this.#remark = remarks.filter((remark) => remark !== '').join(' ');
    this.#hidesLogon ||=
      this.#inputs && !this.#logon && fresh.some((event) => event.kind === 'typed' && event.at_logon);
    return fresh.map((event) => playerEventOf(camel(event) as IndexEvent));
  }

  #more({ pagination }: EventPage): boolean {
    return pagination.has_next && this.#read < eventsMax;
  }
}

/** Why there is no index, for a person. */
export function noIndexText(error: unknown): string {
  return error instanceof ApiError ? `There is no index of this recording: ${error.message}.` : 'There is no index.';
}
