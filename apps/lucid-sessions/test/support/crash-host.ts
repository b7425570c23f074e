/** `up` for crash tests: the same composition, with disks of the tests' choosing under spool and storage. Says where it listens as JSON. */
import type { ChunkDisk } from '@lucid-sessions/files';
import { readServices } from '../../src/cli/services.ts';
import { startLucid } from '../../src/server/compose.ts';
import { serviceNames } from '../../src/server/environment.ts';
import { goFirst } from '../../src/server/priority.ts';

const { CRASH_SERVICES, CRASH_SPOOL_DISK, CRASH_CHUNK_DISK } = process.env;
const chunkDisk =
  CRASH_CHUNK_DISK === undefined
    ? null
    : ((await import(CRASH_CHUNK_DISK)) as { createDisk: () => ChunkDisk }).createDisk();
const services = CRASH_SERVICES === undefined ? serviceNames : readServices({}, CRASH_SERVICES);
if (services.includes('recorder')) goFirst();
const running = await startLucid({
  environment: process.env,
  services,
  log: (line) => void process.stderr.write(`${new Date().toISOString()} ${line}\n`),
  ...(CRASH_SPOOL_DISK === undefined ? {} : { spoolDiskModule: CRASH_SPOOL_DISK }),
  ...(chunkDisk === null ? {} : { chunkDisk }),
});
process.stdout.write(`${JSON.stringify({ addresses: running.addresses })}\n`);
