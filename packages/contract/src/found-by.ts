/** By what a session is found: the same for every store that keeps sessions. */
import type { SessionDocument, SessionStatus } from './models.ts';

/** mstsc cuts the name in its cookie to so many characters. */
export const mstscNameLength = 9;

/** What a name may lead to, in the order in which it does: armed sessions, then those under way, then those nobody has started. */
export const routableInTurn: readonly (readonly SessionStatus[])[] = [
  ['starting'],
  ['recording', 'paused'],
  ['created'],
];
export const routableStatuses: readonly SessionStatus[] = routableInTurn.flat();

/** What a client may call the session, in lower case: its user as it is set, without its domain, and with the one beside it. */
export function clientNamesOf({ rdp_config: { username, domain } }: SessionDocument): string[] {
  if (username === undefined) return [];
  const user = username.toLowerCase();
  const names = [user, user.slice(user.indexOf('\\') + 1)];
  if (domain !== undefined) names.push(`${domain.toLowerCase()}\\${user}`);
  return [...new Set(names)];
}

/** What a search in the list of sessions looks through, in lower case; a line for each of name, id, host, owner and tags. */
export function searchTextOf({ name, session_id, rdp_config, metadata }: SessionDocument): string {
  return [name, session_id, rdp_config.host, metadata.owner ?? '', ...(metadata.tags ?? [])].join('\n').toLowerCase();
}

/** Two looks at a session's retention are a day apart: one that lies further ahead was put there by a clock that was wrong. */
export const retentionAheadUsMax = 2 * 86_400_000_000;
