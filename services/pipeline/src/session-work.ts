/**
 * Work of one session: one piece after the other in this process, one pipeline at a time. Whoever was stopped past the end of
 * the lease changes nothing: it is asked for before every write, and every write compares what it was made from.
 */
import type { Context } from './context.ts';
import type { LeaseCheck } from './leases.ts';
import type { Journal } from './ports.ts';

/** What work of a session does is done through this. */
export interface Held extends Context {
  work: { sessionId: string /** As it was read first, or written last. */; journal: Journal | null };
}

export const isHeld = (context: Context): context is Held => 'work' in context;

/** The same port, behind a check. All its methods answer promises. */
function checked<T extends object>(port: T, check: LeaseCheck): T {
  return new Proxy(port, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== 'function') return method;
      return async (...args: unknown[]) => {
        await check();
        return method.apply(target, args);
      };
    },
  });
}

export function onSession<T>(context: Context, sessionId: string, work: (held: Held) => Promise<T>): Promise<T> {
  const { deps, locks, leases, connected } = context;
  return locks.run(sessionId, () =>
    leases.run(`session/${sessionId}`, (check) =>
      work({
        ...context,
        deps: {
          ...deps,
          storage: checked(deps.storage, check),
          journal: checked(deps.journal, check),
          queue: checked(deps.queue, check),
        },
        connected: checked(connected, check),
        work: { sessionId, journal: null },
      }),
    ),
  );
}
