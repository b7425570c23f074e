import { utf8 } from '../text.ts';
import { sha256 } from '../web-crypto.ts';

export const SESSION_ID_BYTES = 16;
const DOMAIN = utf8('lucid-sessions/v1/session-id\0');
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * The 16 bytes a session is known by in headers and leaves: those of the UUID when `session_id` is one in lower case,
 * else a UUIDv8 (RFC 9562 section 5.8) of SHA-256 over the domain and the id.
 */
export function sessionIdBytes(sessionId: string): Uint8Array {
  if (UUID.test(sessionId)) {
    const digits = sessionId.replaceAll('-', '');
    return Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
  }
  const bytes = sha256(DOMAIN, utf8(sessionId)).slice(0, SESSION_ID_BYTES);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes;
}
