/** A process of the product that may be killed at any instruction, put to sleep, and started again on the same data. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

export interface VictimOptions {
  /** For messages. */
  name: string;
  /** Arguments of Node. The process prints one JSON value to standard output when it is ready. */
  args: readonly string[];
  environment: Record<string, string>;
  readyMs?: number;
}

const outputCharactersMax = 200_000;

export class Victim {
  readonly name: string;
  readonly #options: VictimOptions;
  #child: ChildProcess | null = null;
  #closed: Promise<unknown> = Promise.resolve();
  /** What it wrote to standard error, over all its lives. */
  errors = '';
  starts = 0;

  constructor(options: VictimOptions) {
    this.name = options.name;
    this.#options = options;
  }

  get isRunning(): boolean {
    return this.#child !== null;
  }

  /** Resolves when it is ready. */
  async start(): Promise<void> {
    const { args, environment, readyMs = 240_000 } = this.#options;
    const child = spawn(process.execPath, args, {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.starts += 1;
    let said = '';
    child.stderr.on('data', (part: Buffer) => {
      this.errors = (this.errors + part.toString()).slice(-outputCharactersMax);
    });
    this.#closed = once(child, 'close');
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`${this.name} ${why}: ${said} ${this.errors.slice(-2000)}`));
      const timer = setTimeout(() => fail(`was not ready after ${readyMs} ms`), readyMs);
      child.stdout.on('data', (part: Buffer) => {
        said += part.toString();
        if (!isJson(said)) return;
        clearTimeout(timer);
        resolve();
      });
      child.once('close', () => {
        clearTimeout(timer);
        if (this.#child === child) this.#child = null;
        fail('ended before it was ready');
      });
    });
  }

  /** SIGKILL: no handler runs, nothing is flushed. Answers the time before the signal (`performance.now()`). */
  async kill(): Promise<number> {
    const atMs = performance.now();
    this.#child?.kill('SIGKILL');
    await this.#closed;
    this.#child = null;
    return atMs;
  }

  /** SIGSTOP: it is there, and does nothing. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  wake(): void {
    this.#child?.kill('SIGCONT');
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
