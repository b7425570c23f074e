/** Flags of RDP_NEG_RSP that a client is confirmed. */
import type { SessionTicket } from '@lucid-sessions/contract';
import { NegotiationResponseFlag } from '@lucid-sessions/rdp';

const { dynvcGfxProtocolSupported, extendedClientDataSupported } = NegotiationResponseFlag;

/** Of a target, without the graphics pipeline where a session is recorded in classic graphics. */
export const flagsFor = ({ graphics }: Pick<SessionTicket, 'graphics'>, flags: number): number =>
  graphics === 'classic' ? flags & ~dynvcGfxProtocolSupported : flags;

/** Of a target that is not known yet: a client says more to a server that names these, and no target minds. */
export const flagsForAny = extendedClientDataSupported | dynvcGfxProtocolSupported;
