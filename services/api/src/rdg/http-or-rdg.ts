/** On a port that serves HTTP: tells connections that begin with a method of the RD Gateway from all others, which go to HTTP as ever. */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';

const marker = 'RDG_';
/** As long as HTTP waits for a head. */
const firstBytesMs = 20_000;

/**
 * `take` gets sockets paused, with everything that came still in them. Only a connection's first request is looked at. Answers how to
 * let those go that have said nothing yet: the server knows nothing of them.
 */
export function takeRdgConnections(server: Server, take: (socket: Socket) => void): () => void {
  const event = server instanceof TlsServer ? 'secureConnection' : 'connection';
  // Node's own, which may be called with any connection (http.Server, event 'connection').
  const serve = server.listeners(event) as ((socket: Socket) => void)[];
  const silent = new Set<Socket>();
  server.removeAllListeners(event);
  server.on(event, (socket: Socket) => {
    silent.add(socket);
    socket.once('close', () => silent.delete(socket));
    sift(socket, (isRdg) => {
      silent.delete(socket);
      if (isRdg) {
        take(socket);
        return;
      }
      for (const listener of serve) listener.call(server, socket);
      socket.resume();
    });
  });
  return () => {
    for (const socket of silent) socket.destroy();
  };
}

function sift(socket: Socket, decide: (isRdg: boolean) => void): void {
  let begin = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), firstBytesMs);
  const onError = (): void => void socket.destroy();
  const onData = (bytes: Buffer): void => {
    begin = Buffer.concat([begin, bytes]);
    const text = begin.toString('latin1', 0, marker.length);
    if (text.length < marker.length && marker.startsWith(text)) return;
    stop();
    socket.pause();
    socket.unshift(begin);
    decide(text === marker);
  };
  const stop = (): void => {
    clearTimeout(timer);
    socket.off('data', onData).off('end', onError).off('error', onError).off('close', stop);
  };
  socket.on('data', onData).on('end', onError).on('error', onError).on('close', stop);
}
