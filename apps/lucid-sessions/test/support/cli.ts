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

/** How the command line is started. */
export interface Program {
  command: string;
  args: readonly string[];
  cwd?: string;
  env: NodeJS.ProcessEnv;
}

const checkout = (): Program => ({ command: process.execPath, args: [program], env: process.env });

function start(how: Program, args: readonly string[], environment: Record<string, string>): ChildProcess {
  return spawn(how.command, [...how.args, ...args], {
    ...(how.cwd === undefined ? {} : { cwd: how.cwd }),
    env: { ...how.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** This process's environment without the variables of these families. */
export function environmentWithout(...prefixes: string[]): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => !prefixes.some((prefix) => name.startsWith(prefix)));
  return Object.fromEntries(kept) as Record<string, string>;
}

/** Runs the command line as a person would, to its end. */
export async function runCli(args: readonly string[], environment: Record<string, string> = {}): Promise<CliResult> {
  const child = start(checkout(), args, environment);
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
export function startCli(
  t: TestContext,
  args: readonly string[],
  environment: Record<string, string>,
  ready: RegExp,
): Promise<RunningCli> {
  return startProgram(t, checkout(), args, environment, ready);
}

export async function startProgram(
  t: TestContext,
  how: Program,
  args: readonly string[],
  environment: Record<string, string>,
  ready: RegExp,
): Promise<RunningCli> {
  const child = start(how, args, environment);
  let stdout = '';
  let stderr = '';
  const closed = once(child, 'close') as Promise<[number | null]>;
  const stop = async (signal: NodeJS.Signals = 'SIGINT'): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    return (await closed)[0];
  };
  t.after(() => stop('SIGKILL'));
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not ready after two minutes: ${stdout} ${stderr}`)), 120_000);
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
