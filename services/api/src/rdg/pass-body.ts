import type { IncomingHttpHeaders } from 'node:http';
import { type Duplex, PassThrough, pipeline } from 'node:stream';
import { ChunkedBody } from './chunked-body.ts';

/** What a client says in the body of its request goes to the recorder as it is meant; nothing comes back. One's end is the other's. */
export function passBody(client: Duplex, headers: IncomingHttpHeaders, recorder: Duplex): void {
  const isChunked = headers['transfer-encoding']?.toLowerCase() === 'chunked';
  // A body with a length has one that is never reached.
  const body = isChunked ? new ChunkedBody() : new PassThrough();
  recorder.on('error', () => {}).once('close', () => client.destroy());
  recorder.resume();
  pipeline(client, body, recorder, () => {
    client.destroy();
  });
}
