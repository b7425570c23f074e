import type { ServerRedirection } from '@lucid-sessions/rdp';
import type { DecodeErrorCode } from '@lucid-sessions/wire';

/** Which peer bytes come from. */
export type RelaySide = 'client' | 'server';

/** What a relay learned from the bytes it passed on. No secrets but where it says so. */
export type RelayEvent =
  /** TS_UD_CS_CORE and CS_NET of the client. */
  | {
      kind: 'client';
      clientName: string;
      clientBuild: number;
      keyboardLayout: number;
      desktopWidth: number;
      desktopHeight: number;
      colorDepth: number;
    }
  /** Static channels with the ids the server gave them, the I/O channel left out. */
  | { kind: 'channels'; ioChannelId: number; channels: { channelId: number; name: string }[] }
  /** Names in the Client Info packet: who the client says it logs on as. */
  | { kind: 'client_info'; userName: string; domain: string }
  /** Demand Active: the session shows a desktop, also after each reactivation. */
  | { kind: 'activated'; shareId: number; desktopWidth: number; desktopHeight: number }
  /** Save Session Info: who the server says was logged on (empty where it does not say). */
  | { kind: 'logon'; userName: string; domain: string; sessionId: number }
  | { kind: 'error_info'; code: number; text: string }
  | { kind: 'disconnect'; from: RelaySide; reason: number }
  /** The gateway changed what the peers negotiate. */
  | { kind: 'downgrade'; what: string }
  /** The policy of channels refused something for the first time; `count` 0: it is in force. */
  | { kind: 'policy'; what: string; count: number }
  /** The server sends the client elsewhere, past the gateway: not forwarded, nor is what the server says from here on. May hold a password. */
  | { kind: 'redirection'; target: string; redirection: ServerRedirection | null }
  /** The closing PDUs asked for by `end` are in `forward`: nothing may follow them to the client. */
  | { kind: 'ended' };

export type RelayViolationCode = DecodeErrorCode | 'unsupported_security';

/** A peer broke the protocol in a way the relay can't pass on. */
export class RelayViolation extends Error {
  override readonly name = 'RelayViolation';
  readonly code: RelayViolationCode;
  readonly side: RelaySide;

  constructor(code: RelayViolationCode, side: RelaySide, message: string) {
    super(`${side}: ${message}`);
    this.code = code;
    this.side = side;
  }
}
