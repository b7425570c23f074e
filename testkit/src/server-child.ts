/** Servers that tests start as processes of their own. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** It ends with this process, whatever becomes of the test that started it. */
export function endsWithUs<C extends ChildProcess>(child: C, signal: NodeJS.Signals = 'SIGKILL'): C {
  const kill = () => child.kill(signal);
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
  return child;
}

/** Answers when it has ended, also where it had before. */
export async function endChild(child: ChildProcess | null, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const over = once(child, 'exit');
  child.kill(signal);
  await over;
}
