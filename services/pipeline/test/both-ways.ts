/** A story of the pipeline told twice: as an object, as one process has it, and over HTTP, as five do. */
import { test } from 'node:test';
import { rpcClient } from '@lucid-sessions/contract';
import { createPipelineServer, defaultLimits, type PipelineLimits } from '@lucid-sessions/pipeline';
import { type World, world } from './world.ts';

const serviceSecret = 'test secret of the services, 32 or more';

export function bothWays(
  what: string,
  work: (made: World) => Promise<void>,
  limits: Partial<PipelineLimits> = {},
): void {
  test(what, async () => {
    const made = await world(limits);
    await work(made).finally(() => made.dispose());
  });
  test(`${what}, over HTTP`, async () => {
    const made = await world(limits);
    const all = { ...defaultLimits, progressMs: 0, cookieRoute: true, reconcileMs: 3_600_000, ...limits };
    const server = createPipelineServer({ host: '127.0.0.1', port: 0, serviceSecret, limits: all }, made.deps());
    const { address } = await server.start();
    made.pipeline = rpcClient('pipeline', address, { token: serviceSecret });
    made.service = server.service;
    await work(made).finally(async () => {
      await server.dispose();
      await made.dispose();
    });
  });
}
