/** `migrate`: from one machine's files to stores of several machines, or between any two kinds of store. The source stays as it is. */
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { type Environment, EnvironmentError, isBucket, withSecretFiles } from '@lucid-sessions/kit';
import { absentAsNull, exists } from '../backup/files.ts';
import { CliError, formatBytes, type Output } from '../cli/output.ts';
import { Comparison, strangers } from '../migrate/compare.ts';
import { type Installation, openInstallation, storedSessions } from '../migrate/installation.ts';
import { Move, type Moved } from '../migrate/move.ts';
import { moveLog } from '../migrate/move-log.ts';
import { openVerifier } from '../migrate/verify-moved.ts';
import { logOrigin } from '../server/embedded-parts.ts';
import { dataDirectory, serviceNames } from '../server/environment.ts';
import { lockServices } from '../server/service-lock.ts';

const shownMax = 50;

async function targetEnvironment(path: string): Promise<Environment> {
  const text = await absentAsNull(() => readFile(path, 'utf8'));
  if (text === null) throw new CliError(`there is no ${path}`);
  const environment = withSecretFiles(parseEnv(text));
  for (const name of ['LUCID_DATA_DIR', 'SESSION_METADATA_DB'])
    if (!environment[name]) throw new EnvironmentError(name, `must stand in ${path}`);
  return environment;
}

const placeOf = (path: string): string => (isBucket(path) ? path.replace(/\/$/, '') : resolve(path));

/** What must be at rest before anything is copied. */
async function refuseUnfinished(from: Installation): Promise<void> {
  const unfinished = await from.journal.listUnfinished();
  const spool = (await absentAsNull(() => readdir(join(from.directory.root, 'spool')))) ?? [];
  const waiting = spool.filter((name) => name !== 'unreadable' && !name.startsWith('.'));
  const count = Math.max(unfinished.length, waiting.length);
  if (count > 0)
    throw new CliError(
      `${count} sessions are not at their end: start this installation once more, let them end, stop it and come again`,
    );
}

async function refuseStrangers(from: Installation, to: Installation): Promise<void> {
  if (to.metadataDb === from.metadataDb)
    throw new CliError('SESSION_METADATA_DB is the same there: there is nothing to move');
  const found = await strangers(from, to);
  if (found.length > 0)
    throw new CliError(
      `the database there holds sessions that are not of this installation (${found.slice(0, 3).join(', ')}): it is another one, or has gone on already`,
    );
}

export interface MigrationReport extends Moved {
  verified: number;
  not_recorded: number;
  findings: string[];
}

async function verifyAll(
  from: Installation,
  to: Installation,
  output: Output,
): Promise<Omit<MigrationReport, keyof Moved>> {
  const comparison = new Comparison(from, to);
  const verifier = await openVerifier(from, to);
  const report = { verified: 0, not_recorded: 0, findings: [] as string[] };
  try {
    for await (const stored of storedSessions(from)) {
      const id = stored.session.session_id;
      await comparison.session(stored);
      const verified = await verifier.verify(id);
      if (verified === null) report.not_recorded += 1;
      else report.verified += 1;
      if (
        verified !== null &&
        verified.verdicts.integrity !== 'intact' &&
        !(await wasSo(from, id, verified.verdicts.integrity))
      )
        report.findings.push(`${id} does not verify there: ${verified.verdicts.integrity}`);
      output.progress(`verifying sessions: ${report.verified}`, report.verified);
    }
    await comparison.rest();
  } finally {
    await verifier.close();
  }
  return { ...report, findings: [...comparison.differences.map((what) => `${what} differs`), ...report.findings] };
}

/** Damage that was there before is no fault of the move. */
async function wasSo(from: Installation, id: string, integrity: string): Promise<boolean> {
  const verifier = await openVerifier(from, from);
  try {
    return (await verifier.verify(id))?.verdicts.integrity === integrity;
  } finally {
    await verifier.close();
  }
}

export async function migrateCommand(environment: Environment, output: Output, file: string): Promise<void> {
  const target = await targetEnvironment(file);
  const [root, targetRoot] = [dataDirectory(environment).root, dataDirectory(target).root];
  if (!(await exists(root))) throw new CliError(`there is no installation in ${root}`);
  // Nobody else is at work on either side of this machine.
  const locks = [...new Set([root, targetRoot])].map((each) => lockServices(each, new Set(serviceNames)));
  const opened: Installation[] = [];
  try {
    const from = await openInstallation(environment, (line) => output.say(line));
    opened.push(from);
    await refuseUnfinished(from);
    const to = await openInstallation(target, (line) => output.say(line));
    opened.push(to);
    await refuseStrangers(from, to);
    const keepsChunks = placeOf(from.chunkPath) === placeOf(to.chunkPath);
    const progress = (line: string, count?: number) => output.progress(line, count);
    const moved = await new Move(from, to, { keepsChunks, progress }).run();
    const logPlace = await moveLog(from, to);
    tell(output, { ...moved, ...(await verifyAll(from, to, output)) }, { from, to, logPlace, keepsChunks });
  } finally {
    for (const installation of opened.reverse()) await installation.close();
    for (const lock of locks) lock.release();
  }
}

interface Told {
  from: Installation;
  to: Installation;
  logPlace: string;
  keepsChunks: boolean;
}

function tell(output: Output, report: MigrationReport, { from, to, logPlace, keepsChunks }: Told): void {
  const { findings } = report;
  output.result(
    report,
    [
      `moved      ${report.sessions} sessions, ${report.jobs} jobs, ${report.auditEvents} audit events`,
      keepsChunks
        ? `chunks     stay in ${from.chunkPath}`
        : `chunks     ${report.chunks} copied now (${formatBytes(report.copiedBytes)}) into ${to.chunkPath}`,
      `log        in ${logPlace}${isBucket(logPlace) ? `: start with LUCID_LOG_ORIGIN=${logOrigin(from.environment, from.directory)}, the name it has` : ''}`,
      `verified   ${report.verified} sessions where they are now; ${report.not_recorded} have no recording`,
      `keys       not copied: put ${from.directory.keys} and ${join(from.directory.root, 'secrets')} where the new installation has them`,
      ...findings.slice(0, shownMax).map((finding) => `FINDING    ${finding}`),
    ].join('\n'),
  );
  if (findings.length > 0) throw new CliError(`${findings.length} findings: go on with the old installation`);
}
