/** What an answer with content says of the recording it is of, so that a file can be traced to it. */
import type { SessionDocument } from '@lucid-sessions/contract';

/** `x-lucid-root` is the signed manifest's, as soon as there is one. */
export const originOf = ({
  session_id,
  merkle_root,
}: Pick<SessionDocument, 'session_id' | 'merkle_root'>): Record<string, string> => ({
  'x-lucid-session': session_id,
  ...(merkle_root === null ? {} : { 'x-lucid-root': merkle_root }),
});

/** RFC 9530: of the whole content. */
export const digestOf = (sha256: Uint8Array): string => `sha-256=:${Buffer.from(sha256).toString('base64')}:`;
