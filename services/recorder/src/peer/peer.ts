/** Takes bytes that are only valid during the call. False asks for no more until `resume`. */
export type TakeBytes = (bytes: Uint8Array) => boolean;

/**
 * One end of a running session as the relay knows it, and all it may ask of it: a TCP or TLS connection (`SocketPeer`); a WebSocket's
 * messages fit as well. Every implementation passes `test/suites/peer.ts`.
 */
export interface Peer {
  /** Begins, once: what has come already and every byte from here on goes to `take`, in order. */
  read(take: TakeBytes): void;
  /** More is welcome again, after `take` answered false. */
  resume(): void;
  /** Takes `bytes`, which may be reused when this returns. False: the other side is slower than this; wait for `onRoom`. */
  write(bytes: Uint8Array): boolean;
  /** Called when `write` had answered false and more is welcome again. */
  onRoom: () => void;
  /** Sends what was written, then closes; another side that does not close is cut off. What still comes is thrown away. */
  end(): void;
  /** Cuts it off, with what was not sent yet. */
  destroy(): void;
  readonly isClosed: boolean;
  /** Resolves when the other side sends no more, or the connection is closed or lost. Never rejects. */
  readonly left: Promise<void>;
  /** Resolves when nothing is sent or comes any more. Never rejects. */
  readonly closed: Promise<void>;
}
