/** The console's files. Its pages have paths of their own, and all of them are the same document. */
import { resolve } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';

/** The player decrypts and draws in a worker and shows pictures it made itself; nothing comes from elsewhere. */
export const consolePolicy =
  "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; worker-src 'self' blob:; " +
  "style-src 'self' 'unsafe-inline'; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'";

const pagePath = /^\/(?:sessions(?:\/[A-Za-z0-9_-]{1,100})?|new|live|system|audit)?$/;

export async function serveConsole(app: FastifyInstance, staticDir: string): Promise<void> {
  const root = resolve(staticDir);
  await app.register(fastifyStatic, {
    root,
    wildcard: true,
    index: 'index.html',
    dotfiles: 'deny',
    cacheControl: false,
    setHeaders(reply) {
      reply.header('content-security-policy', consolePolicy);
      reply.header('cache-control', 'no-cache');
    },
  });
}

/** Whether a path that no file answers is a page of the console. */
export const isConsolePage = (path: string) => pagePath.test(path);
