/** Opens a door of another service: an upgrade request, and behind its answer bytes both ways. */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import type { ServiceName } from '@lucid-sessions/contract';
import { doorPath } from './doors.ts';
import type { ServiceCaller } from './service-gate.ts';

export interface DoorOpening {
  caller: ServiceCaller;
  service: ServiceName;
  /** Base URL of that service. */
  url: string;
  /** The door's name. */
  name: string;
  headers: Readonly<Record<string, string>>;
  /** Sent with the answer's arrival, before anything else. */
  first: Uint8Array;
  /** For the answer. */
  waitMs: number;
  /** Whose closing ends the opening. */
  visitor: Duplex;
}

export interface DoorAnswer {
  response: IncomingMessage;
  /** Null: it is a refusal. */
  socket: Duplex | null;
  head: Buffer;
}

/** Null: that service can't be reached, has no room, or the visitor has left. */
export async function openDoor(opening: DoorOpening): Promise<DoorAnswer | null> {
  const { caller, service, name, first, waitMs, visitor } = opening;
  const path = doorPath(name);
  const url = new URL(path, opening.url);
  const token = await caller.token(service, path);
  const options: RequestOptions = {
    ...caller.requestOptions(service),
    method: 'GET',
    headers: {
      ...opening.headers,
      connection: 'Upgrade',
      ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
    },
    agent: false,
    timeout: waitMs,
  };
  if (visitor.destroyed) return null;
  return new Promise((resolve) => {
    const asked = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, options);
    const onLeft = (): void => void asked.destroy();
    const settle = (answer: DoorAnswer | null): void => {
      visitor.off('close', onLeft);
      resolve(answer);
    };
    visitor.once('close', onLeft);
    asked
      .on('error', () => settle(null))
      .on('timeout', onLeft)
      .on('upgrade', (response, socket, head) => {
        socket.setTimeout(0);
        socket.on('error', () => {});
        if (first.length > 0) socket.write(first);
        settle({ response, socket, head });
      })
      .on('response', (response) => {
        response.resume();
        settle(response.statusCode === 503 ? null : { response, socket: null, head: Buffer.alloc(0) });
      })
      .end();
  });
}
