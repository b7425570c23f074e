/** Entry of the thread that copies the spool to another recorder: reading files and TLS are none of the relaying thread's. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { rpcClient } from '@lucid-sessions/contract';
import { type ServiceAccess, ServiceCaller } from '@lucid-sessions/kit';
import { Replicas } from './replicas.ts';

export interface ReplicaThreadData {
  directory: string;
  recorderId: string;
  urls: readonly string[];
  access: Pick<ServiceAccess, 'serviceSecret' | 'proof'>;
}

/** Told after each try. */
export interface ReplicaState {
  /** Everything that was in the spool so long ago is durable at the replica, ms. */
  behindMs: number;
  /** Whose turn it is. */
  url: string;
  /** The recorder that has a whole copy. */
  keptBy: string | null;
  /** Why it is not reached; null: it is. */
  problem: string | null;
}

const everyMs = 50;
const retryMs = 250;
const retryMsMax = 5000;
const timeoutMs = 5000;

const data = workerData as ReplicaThreadData;
const port = parentPort;
if (port === null) throw new Error('replica-thread.ts is the entry of a worker thread');

const caller = new ServiceCaller(data.access);
const replicas = new Replicas({
  directory: data.directory,
  recorderId: data.recorderId,
  replicas: data.urls.map((url) => ({
    url,
    replica: rpcClient('recorder', url, { ...caller.rpcOptions('recorder'), timeoutMsMax: timeoutMs }),
  })),
  nowMs: () => performance.now(),
});

let stopping = false;
port.on('message', () => {
  stopping = true;
});

let failures = 0;
while (!stopping) {
  let more = false;
  let problem: string | null = null;
  try {
    more = await replicas.round();
    failures = 0;
  } catch (error) {
    problem = (error as Error).message;
    failures += 1;
  }
  const { url, keptBy, coveredMs } = replicas;
  port.postMessage({ behindMs: performance.now() - coveredMs, url, keptBy, problem } satisfies ReplicaState);
  if (!more) await sleep(failures === 0 ? everyMs : Math.min(retryMsMax, retryMs * 2 ** Math.min(failures, 8)));
}
port.close();
