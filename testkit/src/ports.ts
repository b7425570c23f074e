import { createServer } from 'node:net';

/**
 * Below the ports that systems give away by themselves (32768 and up on Linux, 49152 elsewhere): a program that is ended and started again finds
 * its port free, however many connections others make meanwhile.
 */
const FIRST = 10_000;
const LAST = 29_999;
const TRIES_MAX = 1000;

const given = new Set<number>();

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** A port nobody listens on now, and none that this process was given before. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    // By chance: tests of other processes look for theirs at the same time.
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST + 1));
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port of ${FIRST} to ${LAST}`);
}

export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  return ports;
}
