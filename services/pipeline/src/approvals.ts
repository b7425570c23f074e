/**
 * Connections that wait for a second person's word, agreed on like what `find` reserved: whoever is waited for decides while the
 * client waits. A pipeline that was alone and started anew has forgotten both, so that the client has to connect again.
 */
import {
  type ApprovalAnswer,
  LucidError,
  type PipelinePort,
  type SessionDocument,
  type WaitingApproval,
} from '@lucid-sessions/contract';
import { AgreedSpace } from './agreed-space.ts';
import { type Context, loadSession } from './context.ts';
import type { Coordination } from './ports.ts';
import type { Reservation } from './reservations.ts';

/** A recorder asks every second while its client waits. */
const quietUsMax = 30_000_000;
const userCharsMax = 500;

interface Entry extends WaitingApproval {
  answer: ApprovalAnswer;
}

export class Approvals {
  readonly #nowUs: () => number;
  /** By connection. Whom no recorder asks for any more has left, or was connected. */
  readonly #entries: AgreedSpace<Entry>;

  constructor(coordination: Coordination, nowUs: () => number) {
    this.#nowUs = nowUs;
    this.#entries = new AgreedSpace(coordination, 'approval', nowUs);
  }

  async ask(asked: Omit<WaitingApproval, 'sinceUs'>): Promise<ApprovalAnswer> {
    const now = this.#nowUs();
    const entry = await this.#entries.change(asked.connectionId, (known) => ({
      value: known ?? { ...asked, sinceUs: now, answer: { state: 'waiting' } },
      untilUs: now + quietUsMax,
    }));
    return entry?.answer ?? { state: 'waiting' };
  }

  async waiting(): Promise<WaitingApproval[]> {
    return (await this.#entries.list())
      .filter(({ answer }) => answer.state === 'waiting')
      .sort((a, b) => a.sinceUs - b.sinceUs)
      .map(({ answer: _, ...waiting }) => waiting);
  }

  /** False: nobody waits for it any more. Said again by the same person it is the same. */
  async decide(
    connectionId: string,
    sessionId: string,
    answer: Exclude<ApprovalAnswer, { state: 'waiting' }>,
  ): Promise<boolean> {
    const entry = await this.#entries.change(connectionId, (known) =>
      known?.sessionId === sessionId && known.answer.state === 'waiting'
        ? { value: { ...known, answer }, untilUs: this.#nowUs() + quietUsMax }
        : null,
    );
    if (entry === null || entry.sessionId !== sessionId || entry.answer.state === 'waiting') return false;
    return entry.answer.state === answer.state && entry.answer.by === answer.by;
  }
}

/** Of a connection that `find` reserved. */
export async function approval(
  context: Context,
  { connectionId, user }: Parameters<PipelinePort['approval']>[0],
): Promise<ApprovalAnswer> {
  const reservation = await context.reservations.get(connectionId);
  if (reservation === null) throw new LucidError('notInThisState', 'the connection took too long; connect again');
  const { sessionId, clientAddress } = reservation;
  return context.approvals.ask({ connectionId, sessionId, clientAddress, user: user.slice(0, userCharsMax) });
}

/** Who handed out what the client came with: they may be the client themselves. */
function issuerOf(session: SessionDocument, { routeKind }: Reservation): string | null {
  if (routeKind === 'token') return session.rdp_file_issued_by ?? null;
  return routeKind === 'credential' ? (session.gateway_logon?.issued_by ?? null) : null;
}

export async function decideApproval(
  context: Context,
  { sessionId, connectionId, approve, by, reason }: Parameters<PipelinePort['decideApproval']>[0],
): Promise<{ decided: boolean }> {
  const reservation = await context.reservations.get(connectionId);
  const session = reservation?.unsaved ?? (await loadSession(context, sessionId));
  if (session.created_by === by)
    throw new LucidError('forbidden', 'who created a session can not approve it: it takes a second person');
  if (reservation?.userId === by)
    throw new LucidError('forbidden', 'nobody can let themselves in: it takes a second person');
  if (reservation !== null && issuerOf(session, reservation) === by)
    throw new LucidError(
      'forbidden',
      'who had the connection file or credential issued can not let in who comes with it',
    );
  const state = approve ? 'approved' : 'refused';
  if (await context.approvals.decide(connectionId, sessionId, { state, by, reason })) return { decided: true };
  throw new LucidError('notInThisState', 'this connection does not wait for a decision (any more)');
}
