/** The server's side of a WebSocket that comes in at a door, bounded before anything is known of who it is. */
import type { DoorVisit } from '@lucid-sessions/kit';
import { type ServerOptions, WebSocketServer } from 'ws';
import { WebSocketStream } from './web-socket-stream.ts';

/** A clipboard of pictures is one message. */
const messageBytesMax = 16 * 1024 * 1024;
const fragmentsMax = 4096;

export interface WebSocketOptions {
  /** Subprotocols that are taken; the first a client offers of them is chosen. Without any, none. */
  protocols?: readonly string[];
  /** All that may come, with the frames' own bytes, before `letIn` is called. */
  earlyBytesMax: number;
}

/** A WebSocket whose client may send little until it has been let in. */
export interface BoundedStream {
  stream: WebSocketStream;
  /** Whoever it is may be here: from now on only single messages are bounded. */
  letIn(): void;
}

/** Does the handshake; null, answered already, where it is no WebSocket handshake. */
export function acceptWebSocket(visit: DoorVisit, options: WebSocketOptions): BoundedStream | null {
  const { request, socket, head } = visit;
  const settings: ServerOptions & { maxFragments: number } = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: messageBytesMax,
    maxFragments: fragmentsMax,
    handleProtocols: (offered) => options.protocols?.find((protocol) => offered.has(protocol)) ?? false,
  };
  const server = new WebSocketServer(settings);
  let accepted: WebSocketStream | null = null;
  let leftBytes = options.earlyBytesMax;
  const count = (bytes: Buffer): void => {
    leftBytes -= bytes.length;
    if (leftBytes < 0) socket.destroy();
  };
  // Answers within the call: nothing is asked of anybody.
  server.handleUpgrade(request, socket, head, (webSocket) => {
    accepted = new WebSocketStream(webSocket);
  });
  if (accepted === null) return null;
  socket.prependListener('data', count);
  return { stream: accepted, letIn: () => void socket.off('data', count) };
}
