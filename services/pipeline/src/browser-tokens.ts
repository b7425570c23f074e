/**
 * Tokens that let a browser in, once and within moments: handed to whoever may start the session, shown to the gateway inside the
 * WebSocket. In memory: they are over before a restart is.
 */
import { createHash } from 'node:crypto';
import { LucidError, type PipelinePort } from '@lucid-sessions/contract';
import { type Context, loadSession, stateOf } from './context.ts';
import { openStates } from './state-machine.ts';

const lifetimeUs = 60_000_000;
const tokensMax = 20_000;
const tokenBytes = 24;

interface Issued {
  sessionId: string;
  /** Whom it was handed to. */
  userId: string;
  untilUs: number;
  /** The connection that used it: its `find` may be sent again. */
  connectionId: string | null;
}

const digestOf = (token: string): string => createHash('sha256').update(token).digest('hex');

export class BrowserTokens {
  readonly #nowUs: () => number;
  /** By SHA-256, in the order of their issue, which is that of their end. */
  readonly #issued = new Map<string, Issued>();

  constructor(nowUs: () => number) {
    this.#nowUs = nowUs;
  }

  /** When it ends. Throws `rateLimited` when too many are out. */
  add(token: string, sessionId: string, userId: string): number {
    this.#dropEnded();
    if (this.#issued.size >= tokensMax)
      throw new LucidError('rateLimited', 'too many browsers are about to connect; try again in a moment');
    const untilUs = this.#nowUs() + lifetimeUs;
    this.#issued.set(digestOf(token), { sessionId, userId, untilUs, connectionId: null });
    return untilUs;
  }

  /** The session it leads to, and whose it is; from here on it is this connection's. Null where it leads nowhere, for whatever reason. */
  use(token: string, connectionId: string): Pick<Issued, 'sessionId' | 'userId'> | null {
    this.#dropEnded();
    const issued = this.#issued.get(digestOf(token));
    if (issued === undefined || (issued.connectionId ?? connectionId) !== connectionId) return null;
    issued.connectionId = connectionId;
    return issued;
  }

  #dropEnded(): void {
    const nowUs = this.#nowUs();
    for (const [digest, { untilUs }] of this.#issued) {
      if (untilUs > nowUs) return;
      this.#issued.delete(digest);
    }
  }
}

export async function issueBrowserToken(
  context: Context,
  { sessionId, userId }: Parameters<PipelinePort['issueBrowserToken']>[0],
): ReturnType<PipelinePort['issueBrowserToken']> {
  const session = await loadSession(context, sessionId);
  const state = stateOf(session);
  // Nobody comes back to a session that its connection created, or a file.
  if (!openStates.includes(state) || session.created_by === null || session.imported)
    throw new LucidError('notInThisState', `this session is ${state}; create a new one to connect`);
  const token = Buffer.from(context.deps.randomBytes(tokenBytes)).toString('base64url');
  return { token, expiresUs: context.browserTokens.add(token, sessionId, userId) };
}
