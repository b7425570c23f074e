/** What a client asks for in its connection request. */
import type { Route } from '@lucid-sessions/contract';
import type { X224ConnectionRequest } from '@lucid-sessions/rdp';

/** What a client said first. */
export interface Asked {
  request: X224ConnectionRequest;
  bytes: Uint8Array;
  route: Route | null;
  /** The name in its cookie. */
  clientName: string | null;
}

export function routeOf({ routing }: X224ConnectionRequest): Route | null {
  if (routing?.kind === 'msts') return { kind: 'token', token: routing.token };
  if (routing?.kind === 'mstshash') return { kind: 'cookie', name: routing.name };
  return null;
}

/** A routing token opens its session: it is a secret and is recorded as x's. */
export function withoutToken(bytes: Uint8Array, { routing }: X224ConnectionRequest): Uint8Array {
  if (routing?.kind !== 'msts') return bytes;
  const copy = Buffer.from(bytes);
  const at = copy.indexOf(routing.token, 0, 'latin1');
  return at < 0 ? copy : copy.fill(0x78, at, at + routing.token.length);
}
