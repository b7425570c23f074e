/**
 * A connection of an RD Gateway client on the port for people ([MS-TSGU] 3.3.5.1): its requests, up to the one whose bytes go on to a
 * recorder. What HTTP there is about them is answered here.
 */
import type { Duplex } from 'node:stream';
import { refuseUpgrade } from '@lucid-sessions/kit';
import { type ReadHead, readHead } from './head-reader.ts';
import type { RdgHead } from './request-head.ts';

/** How a client's bytes go on: as a WebSocket's, or on two connections of plain HTTP, one for each direction. */
export type RdgForm = 'webSocket' | 'out' | 'in';

export interface RdgVisit extends ReadHead {
  form: RdgForm;
}

/** Clients ask once before they send a body: whether they have to authenticate. */
const requestsMax = 4;
const emptyAnswer = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
const gatewayPath = '/remotedesktopgateway/';

/** Calls `enter` with the request that opens the way, or answers and closes. `socket` is paused, then and now. */
export async function serveRdg(socket: Duplex, enter: (visit: RdgVisit) => void): Promise<void> {
  socket.on('error', () => {});
  for (let count = 0; count < requestsMax; count += 1) {
    const read = await readHead(socket);
    if (socket.destroyed) return;
    if (read === null) break;
    if (read.head.url.split('?')[0]!.toLowerCase() !== gatewayPath) {
      refuseUpgrade(socket, '404 Not Found');
      return;
    }
    const form = formOf(read.head);
    if (form !== null) {
      enter({ ...read, form });
      return;
    }
    socket.write(emptyAnswer);
    if (read.rest.length > 0) socket.unshift(read.rest);
  }
  refuseUpgrade(socket, '400 Bad Request');
}

/** Null: a request without a body on the way in, which only asks. */
function formOf({ method, headers }: RdgHead): RdgForm | null {
  if (headers.upgrade?.toLowerCase() === 'websocket') return 'webSocket';
  if (method === 'RDG_OUT_DATA') return 'out';
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
  return hasBody ? 'in' : null;
}
