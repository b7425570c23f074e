/** `up` for crash tests: the same composition, with a disk of the tests' choosing under the spool. Says where it listens as JSON. */
import { parseServices } from '../../src/commands/up.ts';
import { startLucid } from '../../src/server/compose.ts';
import { serviceNames } from '../../src/server/environment.ts';

const { CRASH_SERVICES, CRASH_SPOOL_DISK } = process.env;
const running = await startLucid({
  environment: process.env,
  services: CRASH_SERVICES === undefined ? serviceNames : parseServices(CRASH_SERVICES),
  log: (line) => void process.stderr.write(`${new Date().toISOString()} ${line}\n`),
  ...(CRASH_SPOOL_DISK === undefined ? {} : { spoolDiskModule: CRASH_SPOOL_DISK }),
});
process.stdout.write(`${JSON.stringify({ addresses: running.addresses })}\n`);
