import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

const program = join(import.meta.dirname, '../../bin/lucid-sessions.js');

export interface CliResult {
  code: number;
  stdout: string;
  stderr: string;
}

function start(args: readonly string[], environment: Record<string, string>): ChildProcess {
  return spawn(process.execPath, [program, ...args], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Runs the command line as a person would, to its end. */
export async function runCli(args: readonly string[], environment: Record<string, string> = {}): Promise<CliResult> {
  const child = start(args, environment);
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (part: Buffer) => {
    stdout += part.toString();
  });
  child.stderr?.on('data', (part: Buffer) => {
    stderr += part.toString();
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code: code ?? -1, stdout, stderr };
}

export interface RunningCli {
  pid: number;
  /** Standard output so far. */
  stdout(): string;
  stderr(): string;
  /** Asks it to stop, as Ctrl-C does; answers its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts a command that serves, and waits for `ready` in its standard output. */
export async function startCli(
  t: TestContext,
  args: readonly string[],
  environment: Record<string, string>,
  ready: RegExp,
): Promise<RunningCli> {
  const child = start(args, environment);
  let stdout = '';
  let stderr = '';
  const closed = once(child, 'close') as Promise<[number | null]>;
  const stop = async (signal: NodeJS.Signals = 'SIGINT'): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    return (await closed)[0];
  };
  t.after(() => stop('SIGKILL'));
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not ready after 30 s: ${stdout} ${stderr}`)), 30_000);
    child.stderr?.on('data', (part: Buffer) => {
      stderr += part.toString();
    });
    child.stdout?.on('data', (part: Buffer) => {
      stdout += part.toString();
      if (!ready.test(stdout)) return;
      clearTimeout(timer);
      resolve();
    });
    void closed.then(([code]) => {
      clearTimeout(timer);
      reject(new Error(`ended with ${code}: ${stdout} ${stderr}`));
    });
  });
  return { pid: child.pid ?? 0, stdout: () => stdout, stderr: () => stderr, stop };
}
