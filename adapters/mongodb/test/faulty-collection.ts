/** Collections of a process that dies: from one write on nothing more is done, or that write is done and nobody hears of it. */
import type { Collection, Document } from 'mongodb';

export const killed = new Error('killed');

export interface Death {
  /** The write it dies at; from 0 on. */
  at: number;
  /** Whether the server has done that write. */
  done: boolean;
}

const writes = new Set(['insertOne', 'updateOne', 'replaceOne', 'deleteOne', 'deleteMany']);

export class DyingProcess {
  readonly #death: Death;
  #writes = 0;
  #dead = false;

  constructor(death: Death) {
    this.#death = death;
  }

  get isDead(): boolean {
    return this.#dead;
  }

  collection<T extends Document>(collection: Collection<T>): Collection<T> {
    return withCalls(collection, async (name, call) => {
      if (this.#dead) throw killed;
      if (!writes.has(name) || this.#writes++ !== this.#death.at) return call();
      this.#dead = true;
      if (this.#death.done) await call();
      throw killed;
    });
  }
}

/** `around` is given each call that answers a promise, and the name of its method. */
export function withCalls<T extends Document>(
  collection: Collection<T>,
  around: (name: string, call: () => Promise<unknown>) => Promise<unknown>,
): Collection<T> {
  return new Proxy(collection, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name, target);
      if (typeof method !== 'function') return method;
      if (!writes.has(String(name)) && name !== 'findOne') return method.bind(target);
      return (...values: unknown[]) => around(String(name), async () => method.apply(target, values));
    },
  });
}
