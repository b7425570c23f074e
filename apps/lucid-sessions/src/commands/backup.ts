/** `backup`, `restore`, `check`: copies of an installation, and whether it, or a copy of it, is whole. */
import { constants, setPriority } from 'node:os';
import { resolve } from 'node:path';
import type { Environment } from '@lucid-sessions/kit';
import { type CheckReport, checkPlaces } from '../backup/check.ts';
import { exists } from '../backup/files.ts';
import { otherRuns } from '../backup/layout.ts';
import { backupLogFiles } from '../backup/log-part.ts';
import { makeBackup } from '../backup/make.ts';
import { backupPlaces, installationPlaces } from '../backup/places.ts';
import { type RepairReport, repair } from '../backup/repair.ts';
import { checkRun, restoreBackup, wholeBackup } from '../backup/restore.ts';
import { CliError, formatBytes, type Output } from '../cli/output.ts';
import { readRestoring } from '../server/restoring.ts';

/** Recording goes first. */
function standBack(): void {
  setPriority(constants.priority.PRIORITY_LOW);
}

const shownMax = 50;

function listed(title: string, lines: readonly string[]): string[] {
  if (lines.length === 0) return [];
  const more = lines.length > shownMax ? [`           … and ${lines.length - shownMax} more (--json lists them)`] : [];
  return [...lines.slice(0, shownMax).map((line) => `${title.padEnd(11)}${line}`), ...more];
}

export async function backupCommand(
  environment: Environment,
  output: Output,
  directory: string,
  given: { keys: boolean },
): Promise<void> {
  standBack();
  const done = await makeBackup(environment, directory, { withKeys: given.keys }, output);
  const { description: made } = done;
  output.result(
    { directory: done.directory, ...made, files: undefined, copied_bytes: done.copiedBytes },
    [
      `backup     ${done.directory}, as of ${made.cut_at}`,
      `holds      ${made.sessions} sessions, ${made.chunks} chunks${made.log === null ? '' : `, the log with ${made.log.size} entries`}; ${formatBytes(done.copiedBytes)} of recordings copied now`,
      made.with_keys
        ? 'keys       identity, log key, wrapping keys and secrets are in it: whoever has it can read every recording and sign as this installation'
        : 'keys       none: without keys/ and secrets/, kept elsewhere, it can’t be restored',
      ...listed('not in it', made.kept_elsewhere),
      ...listed('PROBLEM', made.problems),
    ].join('\n'),
  );
  if (made.problems.length > 0)
    throw new CliError(
      `the backup is whole, the installation is not: ${made.problems.length} problems (lucid-sessions check)`,
    );
}

export async function restoreCommand(
  environment: Environment,
  output: Output,
  directory: string,
  given: { log?: string },
): Promise<void> {
  const done = await restoreBackup(environment, directory, given, output);
  const { cut_at: cutAt } = done.description;
  output.result(
    { ...done, description: undefined, cut_at: cutAt },
    [
      `restored   ${done.sessions} sessions into ${done.directory}, as of ${cutAt}`,
      `           what was recorded, changed, deleted or shredded after that is not as it was: delete and shred again`,
      ...(done.unfinished > 0
        ? [`unfinished ${done.unfinished} sessions were under way; the first start ends them as recovered`]
        : []),
      ...(done.log === null
        ? []
        : [
            `log        ${done.log.origin} with ${done.log.size} entries. If anybody has seen more of it, recording on from here forks it:`,
            '           with LUCID_WITNESSES the start asks them first; otherwise compare with the last checkpoint you kept.',
            '           A later copy of the log (checkpoint, tile/) is put in with --log DIR.',
          ]),
      ...listed('not in it', done.description.kept_elsewhere),
      ...listed('PROBLEM', done.problems),
    ].join('\n'),
  );
  if (done.problems.length > 0) throw new CliError(`${done.problems.length} problems: what could be restored was`);
}

export async function checkCommand(
  environment: Environment,
  output: Output,
  directory: string | undefined,
  given: { quick?: boolean; repair?: boolean },
): Promise<void> {
  standBack();
  const quick = given.quick === true;
  const { what, report, repaired } =
    directory === undefined
      ? await checkInstallation(environment, output, quick, given.repair === true)
      : await checkBackup(resolve(directory), output, quick, given.repair === true);
  output.result(
    { checked: what, ...report, ...(repaired === null ? {} : { repaired }), clean: report.findings.length === 0 },
    [
      `checked    ${what}`,
      ...(repaired === null ? [] : repairLines(repaired)),
      `holds      ${report.sessions} sessions, ${report.chunks} chunks, ${formatBytes(report.bytes)}${report.log === null ? '' : `; the log with ${report.log.size} entries`}`,
      ...(report.keysNotTried > 0
        ? [`not tried  the keys of ${report.keysNotTried} sessions: what opens them is not here`]
        : []),
      ...listed('FINDING', report.findings),
      report.findings.length === 0
        ? `whole      ${quick ? 'as far as sizes tell' : 'everything is there and as it was written'}`
        : '',
    ]
      .filter((line) => line !== '')
      .join('\n'),
  );
  if (report.findings.length > 0) throw new CliError(`${report.findings.length} findings`);
}

function repairLines({ rebuilt, failed, log }: RepairReport): string[] {
  return [
    `repaired   ${rebuilt.length} sessions made again from their files${log ? ', and the head of the log' : ''}`,
    ...listed(
      'failed',
      failed.map(({ session_id: id, message }) => `${id}: ${message}`),
    ),
  ];
}

interface Checked {
  what: string;
  report: CheckReport;
  repaired: RepairReport | null;
}

async function checkInstallation(
  environment: Environment,
  output: Output,
  quick: boolean,
  wantsRepair: boolean,
): Promise<Checked> {
  const places = installationPlaces(environment);
  if (!(await exists(places.root))) throw new CliError(`there is no installation in ${places.root}`);
  const restoring = await readRestoring(places.root);
  if (restoring !== null)
    throw new CliError(
      `a restore from ${restoring.backup} was cut off here: run it again, it goes on where it stopped`,
    );
  const repaired = wantsRepair ? await repair(places, output) : null;
  return { what: places.root, report: await checkPlaces(places, { quick, live: true, kept: true }, output), repaired };
}

/** The last whole run; one that was cut off is said, and is no finding. */
export async function checkBackup(
  directory: string,
  output: Output,
  quick: boolean,
  wantsRepair: boolean,
): Promise<Checked> {
  if (wantsRepair) throw new CliError('a backup is not repaired: restore it, and repair what was restored');
  const description = await wholeBackup(directory);
  const places = backupPlaces(directory, description.run);
  const cutOff = await otherRuns(directory, description.run);
  const what = `the backup in ${directory} of ${description.cut_at}${cutOff.length > 0 ? ' (a newer run was cut off: run the backup again)' : ''}`;
  await checkRun(places, description);
  const logFiles = backupLogFiles(directory, places.log);
  const report = await checkPlaces(places, { quick, live: false, kept: cutOff.length === 0, logFiles }, output);
  if (description.log !== null && report.log?.size !== description.log.size)
    report.findings.push('its log is not the one that was copied');
  return { what, report, repaired: null };
}
