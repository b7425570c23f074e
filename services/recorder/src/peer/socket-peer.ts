import type { Duplex } from 'node:stream';
import { closeGently } from './closing.ts';
import type { Peer, TakeBytes } from './peer.ts';
import { readSocket } from './socket-reader.ts';
import { SocketWriter } from './socket-writer.ts';

/** A TCP or TLS connection or another stream of bytes, paused when it is handed to this. */
export class SocketPeer implements Peer {
  readonly #socket: Duplex;
  readonly #writer: SocketWriter;
  readonly left: Promise<void>;
  readonly closed: Promise<void>;
  onRoom: () => void = () => {};
  #over = false;

  constructor(socket: Duplex) {
    this.#socket = socket;
    this.#writer = new SocketWriter(socket, () => this.onRoom());
    // An error also closes: who waits hears of that.
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      if (socket.closed) resolve();
      else socket.once('close', () => resolve());
    });
    const ended = new Promise<void>((resolve) => {
      if (socket.readableEnded) resolve();
      else socket.once('end', () => resolve());
    });
    this.left = Promise.race([ended, this.closed]);
  }

  read(take: TakeBytes): void {
    readSocket(this.#socket, (bytes) => this.#over || take(bytes));
  }

  resume(): void {
    this.#socket.resume();
  }

  write(bytes: Uint8Array): boolean {
    return this.#writer.write(bytes);
  }

  end(): void {
    this.#over = true;
    this.#writer.flush();
    closeGently(this.#socket);
  }

  destroy(): void {
    this.#over = true;
    this.#socket.destroy();
  }

  get isClosed(): boolean {
    return this.#socket.destroyed;
  }
}
