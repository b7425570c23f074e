/**
 * What of the sessions somebody sees: all, or those that are their own, of a project, a label or a target. A session is seen by words; who is
 * limited has words, too, and one of them has to be the session's. Stores find sessions by the same words.
 */
import { z } from 'zod';
import { type ScopedSession, scopeWord, scopeWordsOf } from './scope-words.ts';
import { targetIdSchema } from './targets.ts';

export const scopeNamesMax = 100;
/** Of a reason, and of the recordings one person is let see beside their scope. */
export const grantsMax = 500;
export const grantDaysMax = 365;

/** A session is within it by any of these. */
export const scopeSchema = z.strictObject({
  own: z.boolean().default(false).describe('Sessions this person made.'),
  projects: z.array(z.string().min(1).max(100)).max(scopeNamesMax).default([]),
  labels: z.array(z.string().min(1).max(50)).max(scopeNamesMax).default([]).describe('Tags of sessions.'),
  targets: z.array(targetIdSchema).max(scopeNamesMax).default([]).describe('Ids of targets.'),
});
export type Scope = z.output<typeof scopeSchema>;

/** Each of the lists has to have a word of the session. None: every session. */
export type Within = readonly (readonly string[])[];

export const wordsOfScope = ({ own, projects, labels, targets }: Scope, userId: string): string[] => [
  ...(own ? [scopeWord('by', userId)] : []),
  ...projects.map((name) => scopeWord('project', name)),
  ...labels.map((name) => scopeWord('label', name)),
  ...targets.map((id) => scopeWord('target', id)),
];

export function isWithin(within: Within, session: ScopedSession): boolean {
  const words = new Set(scopeWordsOf(session));
  return within.every((allowed) => allowed.some((word) => words.has(word)));
}

/** Whether sessions with this target may be within it: what is own is so whatever the target. */
export function mayReachTarget(
  { own, projects, labels, targets }: Scope,
  target: { id: string; metadata: { project?: string | undefined; tags?: readonly string[] | undefined } },
): boolean {
  const { project, tags = [] } = target.metadata;
  return (
    own ||
    targets.includes(target.id) ||
    (project !== undefined && projects.includes(project)) ||
    tags.some((tag) => labels.includes(tag))
  );
}
