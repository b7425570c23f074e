/** The recorder as a process: environment in, listening recorder out. */
import { rpcClient } from '@lucid-sessions/contract';
import { readRecorderEnv, readRecorderPeers } from './config.ts';
import { startRecorderServer } from './http.ts';

const config = readRecorderEnv(process.env);
const peers = readRecorderPeers(process.env);
const token = config.serviceSecret;
const log = (message: string): void => void process.stderr.write(`${new Date().toISOString()} recorder: ${message}\n`);

const server = await startRecorderServer(config, {
  pipeline: rpcClient('pipeline', peers.pipelineUrl, { token }),
  processor: rpcClient('processor', peers.processorUrl, { token }),
  onProblem: log,
  onError: (where, thrown) =>
    log(`${where}: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}`),
});
for (const { host, port, target } of server.recorder.addresses)
  log(`RDP on ${host}:${port}${target === null ? '' : ` for ${target}`}`);
log(`clients see the certificate with SHA-256 ${server.recorder.certificateSha256}; port ${server.address}`);

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    void server.dispose().then(() => process.exit(0));
  });
