/** A real EVM node (anvil) on this machine, with a chain of its own that a test can wind back. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const readyMs = 30_000;
/** The first of anvil's well-known accounts: worth nothing anywhere. */
const developmentKey = '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80';

export class EvmNode {
  readonly #child: ChildProcess;
  readonly port: number;
  readonly chainId = 31337;
  /** A key with money on this chain. */
  readonly privateKey: `0x${string}` = developmentKey;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Blocks are made when `mine` is called, or at once for each transaction with `automine`. */
  static async start({ port = 0, automine = true } = {}): Promise<EvmNode> {
    const launcher = fileURLToPath(import.meta.resolve('@foundry-rs/anvil/bin.mjs'));
    const args = ['--host', '127.0.0.1', '--port', `${port}`, '--slots-in-an-epoch', '1'];
    const child = spawn(process.execPath, [launcher, ...args, ...(automine ? [] : ['--no-mining'])], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let said = '';
    const listening = new Promise<number>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`anvil was not ready: ${said}`)), readyMs);
      for (const output of [child.stdout, child.stderr])
        output.on('data', (part: Buffer) => {
          said = (said + part.toString()).slice(-20_000);
          const match = /Listening on 127\.0\.0\.1:(\d+)/.exec(said);
          if (match === null) return;
          clearTimeout(timer);
          resolve(Number(match[1]));
        });
      child.once('close', () => {
        clearTimeout(timer);
        reject(new Error(`anvil ended: ${said}`));
      });
    });
    return new EvmNode(child, await listening);
  }

  async call<T>(method: string, params: unknown[] = []): Promise<T> {
    const response = await fetch(this.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
    });
    const { result, error } = (await response.json()) as { result: T; error?: { message: string } };
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result;
  }

  async mine(blocks: number): Promise<void> {
    await this.call('anvil_mine', [`0x${blocks.toString(16)}`]);
  }

  /** A point of the chain to wind back to. */
  snapshot(): Promise<string> {
    return this.call<string>('evm_snapshot');
  }
  async windBack(snapshot: string): Promise<void> {
    await this.call('evm_revert', [snapshot]);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.pid === undefined) return;
    const closed = once(this.#child, 'close');
    // The launcher's child too.
    process.kill(-this.#child.pid, 'SIGKILL');
    await closed;
  }
}
