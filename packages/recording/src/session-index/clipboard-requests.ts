/** Requests that wait for an answer. */
export const REQUESTS_MAX = 256;

/** What was asked for; which list it was asked of. */
export interface DataRequest {
  listId: number;
  formatId: number;
}

export interface FileRequest {
  listId: number;
  streamId: number;
  index: number;
  kind: 'size' | 'range';
  /** Null where no file can have it. */
  offset: number | null;
  length: number;
  /** Another under the same stream id waits: whose answer comes first is not known. */
  unsure: boolean;
}

export interface DataRequestsSnapshot {
  readonly waiting: readonly DataRequest[];
  readonly unkept: number;
}

/**
 * Requests for data in the order they were made, which is the order of their answers: nothing else tells which is for which. Above the
 * bound they are counted only, so that an answer is not taken for another's.
 */
export class DataRequests {
  #waiting: DataRequest[] = [];
  #unkept = 0;

  static from({ waiting, unkept }: DataRequestsSnapshot): DataRequests {
    const requests = new DataRequests();
    requests.#waiting = waiting.map((request) => ({ ...request }));
    requests.#unkept = unkept;
    return requests;
  }

  snapshot(): DataRequestsSnapshot {
    return { waiting: this.#waiting.map((request) => ({ ...request })), unkept: this.#unkept };
  }

  get waiting(): readonly DataRequest[] {
    return this.#waiting;
  }

  add(request: DataRequest): void {
    if (this.#unkept === 0 && this.#waiting.length < REQUESTS_MAX) this.#waiting.push(request);
    else this.#unkept += 1;
  }

  /** What the next answer is for; undefined where that was not kept. */
  take(): DataRequest | undefined {
    const request = this.#waiting.shift();
    if (request === undefined && this.#unkept > 0) this.#unkept -= 1;
    return request;
  }
}
