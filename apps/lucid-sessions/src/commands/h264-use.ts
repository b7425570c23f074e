/** Whether a walk through a recording needed H.264, and what decoded it: who looks at a picture may want to know. */
import type { H264Decoder } from '@lucid-sessions/graphics';
import { createH264Decoder, ownH264Decoder } from '@lucid-sessions/node';

export class H264Use {
  #used = false;

  readonly create = (): H264Decoder => {
    this.#used = true;
    return createH264Decoder();
  };

  async name(): Promise<string | null> {
    return this.#used ? ((await ownH264Decoder())?.name ?? null) : null;
  }
}
