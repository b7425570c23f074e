/** `scrub`: whether every stored chunk is what its leaf says, and, with `--repair`, puts back what isn't from the second store. */
import { constants, setPriority } from 'node:os';
import type { Environment } from '@lucid-sessions/kit';
import { readMetadataDb, readStorageEnv, Scrub } from '@lucid-sessions/storage';
import { CliError, formatBytes, type Output } from '../cli/output.ts';
import { nowUs, openStorage } from '../server/embedded-parts.ts';
import { dataDirectory } from '../server/environment.ts';
import { storesOf } from '../server/stores.ts';

const shownMax = 50;

export async function scrubCommand(
  environment: Environment,
  output: Output,
  sessionId: string | undefined,
  repair: boolean,
): Promise<void> {
  // Recording goes first.
  setPriority(constants.priority.PRIORITY_LOW);
  const directory = dataDirectory(environment);
  // Storage's own reading of its places; its secret plays no part here.
  const config = readStorageEnv({
    ...environment,
    LUCID_DATA_DIR: directory.root,
    LUCID_SERVICE_SECRET: 'x'.repeat(32),
  });
  const stores = storesOf({ metadataDb: readMetadataDb(environment), directory, environment });
  const { metadata, chunks, copy } = await openStorage(environment, config, stores);
  try {
    const scrub = new Scrub({ metadata, chunks, copy: copy?.chunks ?? null, nowUs }, { repair });
    const report = await (sessionId === undefined ? scrub.all() : scrub.session(sessionId));
    const { findings, findingsCount, repairedCount } = report;
    const left = findingsCount - repairedCount;
    output.result(
      report,
      [
        `read       ${report.chunksChecked} chunks of ${report.sessionsChecked} sessions, ${formatBytes(report.bytesRead)}`,
        ...findings
          .slice(0, shownMax)
          .map(
            ({ sessionId: id, index, problem, repaired }) =>
              `${repaired ? 'repaired ' : 'PROBLEM  '}  session ${id}, chunk ${index}: ${problem.replaceAll('_', ' ')}`,
          ),
        ...(findings.length > shownMax ? [`           … and ${findingsCount - shownMax} more (--json)`] : []),
        left === 0 ? 'result     every chunk is what its leaf says' : `result     ${left} problems are left`,
      ].join('\n'),
    );
    if (left > 0)
      throw new CliError(repair ? `${left} problems could not be repaired` : `${left} problems: try --repair`);
  } finally {
    await Promise.all([metadata.dispose(), chunks.dispose(), copy?.chunks.dispose()]);
  }
}
