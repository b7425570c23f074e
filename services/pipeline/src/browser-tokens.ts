/**
 * Tokens that let a browser in, once and within moments: handed to whoever may start the session, shown to the gateway inside the
 * WebSocket. Their digests are agreed on, not stored: they are over before a restart is.
 */
import { createHash } from 'node:crypto';
import { LucidError, type PipelinePort } from '@lucid-sessions/contract';
import { AgreedSpace } from './agreed-space.ts';
import { type Context, loadSession, stateOf } from './context.ts';
import type { Coordination } from './ports.ts';
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
  /** By SHA-256. */
  readonly #issued: AgreedSpace<Issued>;

  constructor(coordination: Coordination, nowUs: () => number) {
    this.#nowUs = nowUs;
    this.#issued = new AgreedSpace(coordination, 'browser-token', nowUs);
  }

  /** When it ends. Throws `rateLimited` when too many are out. */
  async add(token: string, sessionId: string, userId: string): Promise<number> {
    if ((await this.#issued.count()) >= tokensMax)
      throw new LucidError('rateLimited', 'too many browsers are about to connect; try again in a moment');
    const untilUs = this.#nowUs() + lifetimeUs;
    await this.#issued.add(digestOf(token), { sessionId, userId, untilUs, connectionId: null }, untilUs);
    return untilUs;
  }

  /** The session it leads to, and whose it is; from here on it is this connection's. Null where it leads nowhere, for whatever reason. */
  async use(token: string, connectionId: string): Promise<Pick<Issued, 'sessionId' | 'userId'> | null> {
    const issued = await this.#issued.change(digestOf(token), (known) =>
      known === null || known.connectionId !== null
        ? null
        : { value: { ...known, connectionId }, untilUs: known.untilUs },
    );
    return issued?.connectionId === connectionId ? issued : null;
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
  return { token, expiresUs: await context.browserTokens.add(token, sessionId, userId) };
}
