/** `drain`: what a manager of containers or services runs before it stops a recorder. */
import { setTimeout as sleep } from 'node:timers/promises';
import { LucidError, rpcClient } from '@lucid-sessions/contract';
import { type Environment, readServiceAccess, ServiceCaller } from '@lucid-sessions/kit';
import { CliError, exitCodes, type Output } from '../cli/output.ts';
import { dataDirectory, withOwnSecrets } from '../server/environment.ts';
import { ownDoor } from './health.ts';

const askEveryMs = 1000;

export async function drain(environment: Environment, output: Output, waitMs: number): Promise<void> {
  const access = readServiceAccess(withOwnSecrets(environment, dataDirectory(environment)));
  const caller = new ServiceCaller(access);
  const recorder = rpcClient('recorder', ownDoor(environment, 'recorder'), caller.rpcOptions('recorder'));
  const until = performance.now() + waitMs;
  for (;;) {
    const left = await recorder.drain().catch(unreachable);
    if (left.sessions === 0 && left.spooled === 0) {
      output.result(left, 'drained: no session is left, and all are stored');
      return;
    }
    const text = `sessions that go on: ${left.sessions}; of which something is not stored yet: ${left.spooled}`;
    if (performance.now() >= until) throw new CliError(`not drained in time: ${text}`);
    output.progress(text);
    await sleep(askEveryMs);
  }
}

function unreachable(thrown: unknown): never {
  if (thrown instanceof LucidError && thrown.status === 503)
    throw new CliError(`no recorder answers on this machine: ${thrown.message}`, exitCodes.unreachable);
  throw thrown;
}
