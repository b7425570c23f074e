import { LucidError } from './errors.ts';
import type { SessionDocument } from './models.ts';

export const hasHolds = ({ holds }: Pick<SessionDocument, 'holds'>): boolean => holds !== undefined && holds.length > 0;

/** Throws `notInThisState` while a legal hold is on the session. What the holds are about is for those with the right to read them. */
export function refuseHeld({ session_id, holds }: SessionDocument): void {
  if (holds === undefined || holds.length === 0) return;
  throw new LucidError(
    'notInThisState',
    `${holds.length === 1 ? 'a legal hold is' : `${holds.length} legal holds are`} on this session: nothing of it is deleted until ${holds.length === 1 ? 'it is' : 'they are'} cleared`,
    { details: { session_id, holds: holds.map(({ hold_id }) => hold_id) } },
  );
}
