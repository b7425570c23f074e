/**
 * The RDP client opens WebSockets by itself and keeps to itself how they end. This page, which has no other, listens: the gateway
 * says there in words why it closes.
 */

export interface HeardClose {
  /** 0: none has closed since `forget`; 1006: it was cut. */
  code: number;
  /** Of the gateway; empty where the client closed by itself. */
  reason: string;
}

const none: HeardClose = { code: 0, reason: '' };
/** What the client says when it lets go by itself; the gateway sends it back. */
const clientReason = 'client dropped';
let last = none;

class HeardWebSocket extends WebSocket {
  constructor(url: string | URL, protocols?: string | string[]) {
    super(url, protocols);
    this.addEventListener('close', ({ code, reason }) => {
      last = { code, reason: reason.toLowerCase() === clientReason ? '' : reason };
    });
  }
}

export function listenToWebSockets(): void {
  globalThis.WebSocket = HeardWebSocket;
}

export const lastClose = (): HeardClose => last;
export const forgetClose = (): void => {
  last = none;
};
