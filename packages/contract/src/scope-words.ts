/** The words a session is seen by. Apart from the schema of a scope: browsers order sessions, too, and check no schema. */
import type { SessionDocument } from './models.ts';

export type ScopedSession = Pick<SessionDocument, 'session_id' | 'created_by' | 'target_id' | 'metadata'>;

const wordCharactersMax = 255;
/** As stores find it. */
export const scopeWord = (kind: 'by' | 'project' | 'label' | 'target' | 'id', text: string): string =>
  `${kind} ${text}`.slice(0, wordCharactersMax);

/** The word of one session alone. */
export const sessionScopeWord = (sessionId: string): string => scopeWord('id', sessionId);

export function scopeWordsOf({ session_id, created_by, target_id, metadata }: ScopedSession): string[] {
  const { project, tags = [] } = metadata;
  return [
    sessionScopeWord(session_id),
    ...(created_by === null ? [] : [scopeWord('by', created_by)]),
    ...(project === undefined ? [] : [scopeWord('project', project)]),
    ...(target_id ? [scopeWord('target', target_id)] : []),
    ...new Set(tags.map((tag) => scopeWord('label', tag))),
  ];
}
