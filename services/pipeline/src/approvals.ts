/**
 * Connections that wait for a second person's word, in memory like what `find` reserved: whoever is waited for decides while the
 * client waits, and a pipeline that was started anew has forgotten both, so that the client has to connect again.
 */
import { type ApprovalAnswer, LucidError, type PipelinePort, type WaitingApproval } from '@lucid-sessions/contract';
import { type Context, loadSession } from './context.ts';

/** A recorder asks every second while its client waits. */
const quietUsMax = 30_000_000;
const decidedMax = 1000;

interface Entry extends WaitingApproval {
  heardUs: number;
  answer: ApprovalAnswer;
}

export class Approvals {
  readonly #nowUs: () => number;
  /** By connection. */
  readonly #entries = new Map<string, Entry>();

  constructor(nowUs: () => number) {
    this.#nowUs = nowUs;
  }

  ask(asked: Omit<WaitingApproval, 'sinceUs'>): ApprovalAnswer {
    this.#drop();
    const now = this.#nowUs();
    const known = this.#entries.get(asked.connectionId);
    const entry = known ?? { ...asked, sinceUs: now, heardUs: now, answer: { state: 'waiting' } };
    entry.heardUs = now;
    this.#entries.set(asked.connectionId, entry);
    return entry.answer;
  }

  get waiting(): WaitingApproval[] {
    this.#drop();
    return [...this.#entries.values()]
      .filter(({ answer }) => answer.state === 'waiting')
      .map(({ connectionId, sessionId, sinceUs, clientAddress, user }) => ({
        ...{ connectionId, sessionId, sinceUs, clientAddress, user },
      }));
  }

  /** False: nobody waits for it any more. Said again by the same person it is the same. */
  decide(connectionId: string, sessionId: string, answer: Exclude<ApprovalAnswer, { state: 'waiting' }>): boolean {
    this.#drop();
    const entry = this.#entries.get(connectionId);
    if (entry === undefined || entry.sessionId !== sessionId) return false;
    const { answer: before } = entry;
    if (before.state !== 'waiting') return before.state === answer.state && before.by === answer.by;
    entry.answer = answer;
    return true;
  }

  /** Whom no recorder asks for any more has left, or was connected. */
  #drop(): void {
    const oldest = this.#nowUs() - quietUsMax;
    for (const [connectionId, { heardUs }] of this.#entries)
      if (heardUs < oldest || this.#entries.size > decidedMax) this.#entries.delete(connectionId);
  }
}

/** Of a connection that `find` reserved. */
export async function approval(
  context: Context,
  { connectionId, user }: Parameters<PipelinePort['approval']>[0],
): Promise<ApprovalAnswer> {
  const reservation = context.reservations.get(connectionId);
  if (reservation === null) throw new LucidError('notInThisState', 'the connection took too long; connect again');
  const { sessionId, request } = reservation;
  return context.approvals.ask({ connectionId, sessionId, clientAddress: request.clientAddress, user });
}

export async function decideApproval(
  context: Context,
  { sessionId, connectionId, approve, by, reason }: Parameters<PipelinePort['decideApproval']>[0],
): Promise<{ decided: boolean }> {
  const reservation = context.reservations.get(connectionId);
  const session = reservation?.unsaved ?? (await loadSession(context, sessionId));
  if (session.created_by === by)
    throw new LucidError('forbidden', 'who created a session can not approve it: it takes a second person');
  if (reservation?.userId === by)
    throw new LucidError('forbidden', 'nobody can let themselves in: it takes a second person');
  const state = approve ? 'approved' : 'refused';
  if (context.approvals.decide(connectionId, sessionId, { state, by, reason })) return { decided: true };
  throw new LucidError('notInThisState', 'this connection does not wait for a decision (any more)');
}
