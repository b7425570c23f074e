/** A process of the API that can open shares says so for as long as it runs, and forgets keys whose grants are over. */
import { viewingState } from '@lucid-sessions/contract';
import type { ApiDeps } from './call.ts';

const presenceMs = 20_000;

export class Unlocker {
  readonly #deps: Pick<ApiDeps, 'pipeline' | 'keyShares' | 'onError'>;
  readonly #processId: string;
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: Pick<ApiDeps, 'pipeline' | 'keyShares' | 'onError' | 'newId'>) {
    this.#deps = deps;
    this.#processId = deps.newId();
    if (deps.keyShares === undefined) return;
    this.#timer = setInterval(() => void this.#beat(), presenceMs).unref();
    void this.#beat();
  }

  async #beat(): Promise<void> {
    const { pipeline, keyShares, onError } = this.#deps;
    try {
      await pipeline.unlockerHere({ processId: this.#processId, recipient: await keyShares!.recipient() });
      await keyShares!.prune(async ({ sessionId, viewingId }) => {
        const { viewings } = await pipeline.viewings({ sessionId });
        const known = viewings.find((each) => each.viewingId === viewingId);
        return known !== undefined && ['granted', 'used'].includes(viewingState(known));
      });
    } catch (thrown) {
      onError?.('shares of keys', thrown);
    }
  }

  dispose(): void {
    clearInterval(this.#timer);
  }
}
