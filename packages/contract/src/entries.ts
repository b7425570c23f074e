/** What is kept of people and of what they use: small documents, found by kind and id, changed at their version. */
export const entryKinds = [
  /** Accounts, by user id. */
  'user',
  /** Whom an identity provider knows, by SHA-256 of issuer and subject. */
  'identity',
  /** Signed-in browsers, by SHA-256 of their secret. */
  'sign_in',
  /** API tokens, by id. */
  'token',
  /** Links that let somebody in once, by SHA-256 of their secret. */
  'invite',
  /** Sign-ins that failed, by what they are counted for. */
  'tries',
  /** What a browser has to answer, once. */
  'challenge',
  /** Hosts sessions lead to, by id. */
  'target',
  /** Which target has a name, by the name in lower case: what makes names unique. */
  'target_name',
  /** Recordings somebody is let see, by session and person. */
  'grant',
  /** How far the scrubbing of stored chunks is, one of each installation. */
  'scrub',
  /** Rules over what happens in sessions, by id. */
  'alert_rule',
  /** What they found, latest first; owner: the session. */
  'alert',
  /** How far a session was held against the rules, by its id. */
  'alert_state',
] as const;
export type EntryKind = (typeof entryKinds)[number];

export interface Entry {
  kind: EntryKind;
  /** 1 to 200 characters. */
  id: string;
  /** Whose it is: a user id; null: nobody's. */
  owner: string | null;
  /** JSON, at most 64 KiB as text. */
  value: Record<string, unknown>;
  /** From 1 on. */
  version: number;
  /** µs since 1970: from then on it is as if it were not there. Null: it stays. */
  untilUs: number | null;
}

export const entryIdCharactersMax = 200;
export const entryTextMax = 64 * 1024;
export const entryPageMax = 1000;
