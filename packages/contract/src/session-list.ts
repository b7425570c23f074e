/** By what lists of sessions are filtered and sorted: the same for every store that keeps sessions. */
import { clientNamesOf } from './found-by.ts';
import type { SessionDocument } from './models.ts';
import { scopeWordsOf } from './scope-words.ts';

/** What a list can be sorted by. */
export const sessionSorts = [
  'created',
  'started',
  'name',
  'status',
  'user',
  'client',
  'target',
  'project',
  'tag',
  'duration',
  'size',
  'outcome',
  'replay',
] as const;
export type SessionSort = (typeof sessionSorts)[number];

/** A session's place in each order. Texts in lower case, `''` where there is none. */
export interface SessionPlaces extends Record<SessionSort, string | number> {
  /** RFC 3339 in UTC, with milliseconds. */
  created: string;
  /** When it was made, where it never began. */
  started: string;
  name: string;
  status: string;
  /** Who came, as far as it is known, else who the client said would log on, else whose the session is. */
  user: string;
  client: string;
  target: string;
  project: string;
  /** Its first tag, in their own order. */
  tag: string;
  /** Seconds. */
  duration: number;
  /** Bytes stored. */
  size: number;
  outcome: string;
  replay: string;
}

/** Characters texts are ordered by, and those of a word a session is found by. */
const placeCharacters = 100;
export const sessionWordCharactersMax = 255;

const placeOf = (text: string | null | undefined): string => (text ?? '').toLowerCase().slice(0, placeCharacters);

export function sessionPlacesOf(session: SessionDocument): SessionPlaces {
  const { rdp_config, metadata, statistics } = session;
  return {
    created: session.created_at,
    started: session.started_at ?? session.created_at,
    name: placeOf(session.name),
    status: session.status,
    user: placeOf(
      session.came_by?.user || session.client_user || rdp_config.username || metadata.owner || session.created_by,
    ),
    client: placeOf(session.client_name || session.client_address),
    target: placeOf(rdp_config.host),
    project: placeOf(metadata.project),
    tag: [...new Set(metadata.tags ?? [])].map(placeOf).sort()[0] ?? '',
    duration: statistics.duration_seconds,
    size: statistics.size_bytes,
    outcome: session.outcome ?? '',
    replay: session.replay?.state ?? '',
  };
}

/** What a filter compares whole, but for the case of letters. */
export const sessionWordKinds = ['user', 'client', 'target', 'tag'] as const;
export type SessionWordKind = (typeof sessionWordKinds)[number];

/** As it is compared. */
export const sessionWord = (text: string): string => text.toLowerCase().slice(0, sessionWordCharactersMax);

/** `DOMAIN\name` is found by both. */
const withBareName = (name: string): string[] => [name, name.slice(name.indexOf('\\') + 1)];

/**
 * By which words each filter finds a session. user: who came, who the client said would log on, who the session is for, who owns and
 * who made it; client: name and address; target: host, host:port, and the id of the target it was made by connecting to.
 */
export function sessionWordsOf(session: SessionDocument): Record<SessionWordKind, string[]> {
  const { rdp_config, metadata } = session;
  const host = rdp_config.host.replace(/^\[|\]$/g, '');
  const address = host.includes(':') ? `[${host}]` : host;
  const words = {
    user: [
      ...clientNamesOf(session),
      ...[session.came_by?.user, session.client_user, metadata.owner, session.created_by].flatMap((name) =>
        withBareName(name ?? ''),
      ),
    ],
    client: [session.client_name, session.client_address],
    target: [host, `${address}:${rdp_config.port}`, session.target_id],
    tag: metadata.tags ?? [],
  };
  const known = (texts: (string | null | undefined)[]) =>
    [...new Set(texts.map((text) => sessionWord(text ?? '')))].filter((word) => word !== '');
  return { user: known(words.user), client: known(words.client), target: known(words.target), tag: known(words.tag) };
}

/** Kinds and words as stores keep them, and find sessions by. */
export const wordText = (kind: SessionWordKind | 'scope', word: string): string => `${kind} ${word}`;

/** All of a session: those of filters, as they are compared, and those of scopes, as they are. */
export function storedWordsOf(session: SessionDocument): string[] {
  const words = sessionWordsOf(session);
  return [
    ...sessionWordKinds.flatMap((kind) => words[kind].map((word) => wordText(kind, word))),
    ...scopeWordsOf(session).map((word) => wordText('scope', word)),
  ];
}

const newestFirst: readonly SessionSort[] = ['created', 'started', 'duration', 'size'];

/** Times, lengths and sizes go down unless somebody says otherwise, texts up. Those in one place come newest first. */
export const sessionOrderOf = ({ sort = 'created', descending }: { sort?: SessionSort; descending?: boolean }) => ({
  sort,
  descending: descending ?? newestFirst.includes(sort),
});
