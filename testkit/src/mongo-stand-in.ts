/** A server in memory that speaks MongoDB's protocol (`.ci/install-mongo-stand-in`), on a port of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { eventually, peerPath } from './peers.ts';
import { freePort } from './ports.ts';
import { endChild, endsWithUs } from './server-child.ts';

export class MongoStandIn {
  readonly port: number;
  readonly #process: ChildProcess;
  #databases = 0;

  private constructor(port: number) {
    this.port = port;
    const child = spawn('mongo-stand-in', [String(port)], {
      // One thread: with several, two conditional updates of one document may both match, which no MongoDB does.
      env: { ...process.env, PATH: peerPath(), JAVA_TOOL_OPTIONS: '-Dio.netty.eventLoopThreads=1' },
      stdio: 'ignore',
    });
    this.#process = endsWithUs(child);
  }

  static async start(port?: number): Promise<MongoStandIn> {
    const server = new MongoStandIn(port ?? (await freePort()));
    await eventually('a port of the MongoDB stand-in', () => isListening(server.port));
    return server;
  }

  /** Of a database that nobody has used yet. */
  freshUrl(): string {
    this.#databases += 1;
    return this.lastUrl;
  }

  /** Of the database that was asked for last. */
  get lastUrl(): string {
    return `mongodb://127.0.0.1:${this.port}/lucid_${process.pid}_${this.#databases}`;
  }

  /** It answers nobody until it is resumed. */
  async pause(): Promise<void> {
    this.#process.kill('SIGSTOP');
    const stopped = () => readFileSync(`/proc/${this.#process.pid}/stat`, 'utf8').split(') ')[1]!.startsWith('T');
    await eventually('a MongoDB stand-in that stands still', stopped);
  }
  resume(): void {
    this.#process.kill('SIGCONT');
  }

  /** Everything in it is gone. */
  async stop(): Promise<void> {
    await endChild(this.#process);
  }
}

const isListening = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
