/**
 * The command line: `lucid-sessions <command>`. Parses, calls a command, turns failures into a line and an exit code. Commands
 * are loaded when they are called: listing sessions must not wait for a server's code.
 */
import { dirname } from 'node:path';
import { LucidError, retentionDaysMax, type Unreplayable } from '@lucid-sessions/contract';
import { EnvironmentError, parseLeaveIn, parseRetentionDays } from '@lucid-sessions/kit';
import { Argument, Command, CommanderError, InvalidArgumentError } from 'commander';
import { ApiClient } from './cli/api-client.ts';
import { askAtTerminal } from './cli/consent.ts';
import { CliError, exitCodes, Output } from './cli/output.ts';
import { systemText } from './cli/system-text.ts';
import type { ImportOptions } from './commands/import.ts';
import { parseRecordingTime } from './commands/recording-time.ts';
import {
  createSession,
  deleteSession,
  listSessions,
  parseTarget,
  showSession,
  stopSession,
} from './commands/sessions.ts';
import { dataDirectory, serviceNames } from './server/environment.ts';
import { readSecretFile } from './server/secret-file.ts';
import { software } from './server/software.ts';

interface GlobalOptions {
  json?: boolean;
  dataDir?: string;
  api?: string;
  tokenFile?: string;
}

// A report of a crash holds the environment, and that holds secrets.
if (process.report !== undefined) process.report.excludeEnv = true;

const program = new Command('lucid-sessions')
  .description('RDP session recorder whose recordings hold up as evidence')
  .version(software.version)
  .option('--json', 'print the result as JSON')
  .option('--data-dir <dir>', 'where keys, secrets and recordings are kept (LUCID_DATA_DIR, ./data)')
  .option('--api <url>', 'the Session API (LUCID_API_URL, http://127.0.0.1:8087)')
  .option('--token-file <file>', 'file with an access token (LUCID_TOKEN, the data directory’s own)')
  .showHelpAfterError('(--help shows how)')
  .exitOverride()
  .addHelpText(
    'after',
    `
Exit codes: 0 done · 1 failed · 2 wrong usage · 3 no API answers · 4 not permitted · 130 stopped by Ctrl-C
            backup, restore, check: 1 also when something is missing or damaged
            verify: 0 only for a clean bundle, 10 and above one per kind of finding (docs/format.md)`,
  );

// What is made by other hands too (SQLite, ffmpeg) is for this user alone.
process.umask(0o077);

const options = (): GlobalOptions => program.opts<GlobalOptions>();
const output = (): Output => new Output(process, options().json === true);

/** The environment with the command line's word in front. */
function environment(): NodeJS.ProcessEnv {
  const { dataDir } = options();
  return dataDir === undefined ? process.env : { ...process.env, LUCID_DATA_DIR: dataDir };
}

function api(): ApiClient {
  const { api: url, tokenFile } = options();
  return new ApiClient({
    url: url ?? process.env.LUCID_API_URL ?? `http://127.0.0.1:${process.env.SESSION_API_PORT || 8087}`,
    token: token(tokenFile),
  });
}

/** From a file or the environment, never from an argument: arguments are seen by every user of the machine. */
function token(tokenFile: string | undefined): string {
  if (tokenFile === undefined && process.env.LUCID_TOKEN) return process.env.LUCID_TOKEN;
  const path = tokenFile ?? dataDirectory(environment()).adminToken;
  try {
    return readSecretFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new CliError(`there is no token in ${path}: name one with --token-file or LUCID_TOKEN`, exitCodes.refused);
  }
}

const wholeNumber = (text: string): number => {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('must be a whole number');
  return Number(text);
};
const retention = (text: string): number | null => {
  const days = parseRetentionDays(text);
  if (days === undefined) throw new InvalidArgumentError(`must be days from 1 to ${retentionDaysMax}, or none`);
  return days;
};
const leaveIn = (text: string): Unreplayable[] => {
  const names = parseLeaveIn(text);
  if (names === null) throw new InvalidArgumentError('must be of graphics, bitmap_cache, udp those wanted, with +');
  return names;
};
const target = (text: string): string => {
  try {
    parseTarget(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
  return text;
};

program
  .command('up')
  .description('run the services: all five in this process, or some of them')
  .option('--services <names>', `comma-separated: ${serviceNames.join(', ')}`, serviceNames.join(','))
  .action(async (given: { services: string }) => {
    const { parseServices, up } = await import('./commands/up.ts');
    await up(environment(), output(), { services: parseServices(given.services) });
  });

program
  .command('demo')
  .description('record, seal, store, log and verify one real RDP session')
  .option('--target <host:port>', 'record a host of yours instead of the built-in desktop', target)
  .option('--export <dir>', 'leave the evidence bundle and its policy file there')
  .option('--keep', 'go on serving afterwards, to look at the session')
  .action(async (given: { target?: string; export?: string; keep?: boolean }) => {
    const { demo } = await import('./commands/demo.ts');
    await demo(given, output(), environment());
  });

program
  .command('token')
  .description('make an access token, signed with this installation’s secret')
  .requiredOption('--user <id>', 'whom it stands for')
  .option('--role <names...>', 'what it may do', ['session_viewer'])
  .option('--lifetime <time>', '90s, 30m, 8h, 30d', '8h')
  .option('--out <file>', 'write it there (mode 0600); needed where standard output is no terminal')
  .action(async (given: { user: string; role: string[]; lifetime: string; out?: string }) => {
    const { giveToken, parseLifetime } = await import('./commands/token.ts');
    const { signingSecret } = await import('./server/admin-token.ts');
    const secret = signingSecret(dataDirectory(environment()), environment());
    if (secret === null) throw new CliError('tokens of this installation come from its identity provider');
    const lifetimeS = parseLifetime(given.lifetime);
    const claims = { userId: given.user, roles: given.role, lifetimeS };
    const out = given.out === undefined ? {} : { out: given.out };
    await giveToken(secret, { ...claims, ...out }, output(), writeNewFile);
  });

const sessions = program.command('sessions').description('list, show, create, stop and delete sessions');
sessions
  .command('list')
  .option('--status <status>')
  .option('--project <name>')
  .option('--environment <name>')
  .option('--limit <count>', 'at most 100', wholeNumber, 50)
  .option('--offset <count>', '', wholeNumber, 0)
  .action(async (given) => listSessions(api(), output(), given));
sessions
  .command('show')
  .argument('<session-id>')
  .action(async (id: string) => showSession(api(), output(), id));
sessions
  .command('create')
  .argument('<target>', 'host, host:port or [ipv6]:port', target)
  .requiredOption('--name <name>', 'what people call it')
  .option('--username <name>', 'whom the session is for; clients that send this name as mstshash find it')
  .option('--ignore-cert', 'take any certificate of the target (a recorded fact)')
  .option('--pinned-sha256 <hex>', 'take exactly this certificate of the target')
  .option('--legacy-tls', 'also take TLS 1.0, CBC and no forward secrecy from the target (a recorded fact)')
  .option(
    '--leave-in <names>',
    'of graphics, bitmap_cache, udp, with +: what replay can’t show stays in (a recorded fact)',
    leaveIn,
  )
  .option('--no-bulk-compression', 'the target may not compress: smaller recordings, more network (a recorded fact)')
  .option('--graphics <mode>', 'passthrough or classic')
  .option('--project <name>')
  .option('--environment <name>')
  .option('--retention <days>', 'how long it is kept after its end, or none: until it is deleted', retention)
  .option('--rdp-file <file>', 'write the connection file for mstsc or xfreerdp there')
  .action(async (host: string, given) => createSession(api(), output(), host, given, writeNewFile));
sessions
  .command('stop')
  .argument('<session-id>')
  .action(async (id: string) => stopSession(api(), output(), id));
sessions
  .command('delete')
  .description('delete a session for good; asks for its name and a reason where they are not given')
  .argument('<session-id>')
  .option('--confirm <name>', 'the name of the session')
  .option('--reason <text>', 'why; it goes into the audit log and the signed erase record')
  .action(async (id: string, given: { confirm?: string; reason?: string }) =>
    deleteSession(api(), output(), id, given, askAtTerminal(process)),
  );

const backupCommands = () => import('./commands/backup.ts');
program
  .command('backup')
  .description('copy this installation, running or not, into a directory; again: only what is new')
  .argument('<dir>', 'an empty directory, or one with an earlier backup of this installation')
  .option('--without-keys', 'leave keys and secrets out; without them it can not be restored')
  .action(async (dir: string, given: { withoutKeys?: boolean }) =>
    (await backupCommands()).backupCommand(environment(), output(), dir, { keys: given.withoutKeys !== true }),
  );
program
  .command('restore')
  .description('put a backup into an empty data directory')
  .argument('<dir>', 'where the backup is')
  .option('--log <dir>', 'a later copy of the transparency log (checkpoint and tile/) to go on from')
  .action(async (dir: string, given: { log?: string }) =>
    (await backupCommands()).restoreCommand(environment(), output(), dir, given),
  );
program
  .command('check')
  .description('whether everything that belongs to this installation, or to a backup, is there and sound')
  .argument('[dir]', 'a backup; without it this installation, running or not')
  .option('--quick', 'sizes of chunk files only, no hashes')
  .option('--repair', 'make rows again for sessions whose chunks have none; needs stopped services')
  .action(async (dir: string | undefined, given: { quick?: boolean; repair?: boolean }) =>
    (await backupCommands()).checkCommand(environment(), output(), dir, given),
  );

const keys = program
  .command('keys')
  .description('make, list, rotate and export this installation’s keys; shred a session’s key');
const keyCommands = () => import('./commands/keys.ts');
keys
  .command('init')
  .description('make the identity, log and local keys that are missing')
  .option('--auditor <file>', 'also make an age identity for an auditor: the secret goes into this new file')
  .action(async (given: { auditor?: string }) => (await keyCommands()).initKeys(environment(), output(), given));
keys
  .command('list')
  .description('show every key, secrets by their fingerprint')
  .action(async () => (await keyCommands()).listKeys(environment(), output()));
keys
  .command('export-public')
  .description('the public keys as a policy file for verify --policy')
  .option('--out <file>', 'write it there')
  .action(async (given: { out?: string }) =>
    (await keyCommands()).exportPublicKeys(environment(), output(), given.out),
  );
keys
  .command('rotate')
  .description(
    'replace the identity or the local key, or wrap every session to LUCID_RECIPIENTS; needs stopped services',
  )
  .addArgument(new Argument('<what>').choices(['identity', 'local', 'recipients']))
  .option('--confirm <recipient...>', 'recipients who lose access to what there is (rotate recipients)')
  .option('--reason <text>', 'why; it goes into the audit log')
  .action(async (what: 'identity' | 'local' | 'recipients', given: { confirm?: string[]; reason?: string }) =>
    (await keyCommands()).rotateKeys(environment(), output(), what, given),
  );
keys
  .command('shred')
  .description('destroy a session’s key for good: what was recorded can be proven, never read again')
  .argument('<session-id>')
  .option('--confirm <session-id>', 'the session id once more, or its name; asked for at a terminal')
  .option('--reason <text>', 'why; it is signed into the erase record')
  .action(async (id: string, given: { confirm?: string; reason?: string }) =>
    (await keyCommands()).shredSession(api(), output(), id, given, askAtTerminal(process)),
  );

program
  .command('import')
  .description(
    'make recordings of the RDP connections in a packet capture; with --redact or --rdpcap: a report or a file instead',
  )
  .argument('<file>', 'pcapng or pcap, as Wireshark, tcpdump and pktmon write them, or an .rdpcap file')
  .option(
    '--keylog <file>',
    'TLS key log, or PEM file with a server’s RSA key; may be given several times',
    (path: string, paths: string[]) => [...paths, path],
    [] as string[],
  )
  .option('--connection <number>', 'which one, where the file holds several', wholeNumber)
  .option('--list', 'only say what the file holds')
  .option('--name <name>', 'what people call the recording; the file’s name when not given')
  .option('--project <name>')
  .option('--environment <name>')
  .option('--retention <days>', 'how long it is kept', wholeNumber)
  .option('--rdpcap <file>', 'write it as an .rdpcap file, for render and inspect')
  .option('--redact <file>', 'write a report of kinds and counts without any content')
  .action(async (file: string, given: ImportOptions) => {
    const { importCapture } = await import('./commands/import.ts');
    process.exitCode = await importCapture(output(), file, given, api);
  });

program
  .command('export')
  .description('write a session’s evidence bundle, and a starter policy file beside it')
  .argument('<session-id>')
  .requiredOption('--out <path>', 'a directory, or one file when it ends in .tar')
  .option('--from <time>', 'only from this time on (RFC 3339): verifies as a part')
  .option('--to <time>', 'only up to this time')
  .action(async (id: string, given: { out: string; from?: string; to?: string }) => {
    const { exportSession } = await import('./commands/export.ts');
    const exported = await exportSession(api(), output(), id, given);
    output().result(
      exported,
      `bundle ${exported.bundle}\npolicy ${exported.policy}\ncheck it anywhere: lucid-sessions verify ${exported.bundle} --policy ${exported.policy}`,
    );
  });

program
  .command('extract')
  .description('write what crossed clipboard and drives of a session as files; audited')
  .argument('<session-id>')
  .requiredOption('--out <dir>', 'a directory that is not there yet')
  .action(async (id: string, given: { out: string }) => {
    const { extractContents } = await import('./commands/extract.ts');
    const extracted = await extractContents(api(), output(), id, given.out);
    output().result(extracted, `${extracted.files} files in ${extracted.directory}, listed in contents.json`);
  });

type VerifyGiven = { policy?: string; identity?: string; askChains?: boolean; replay?: boolean };

program
  .command('verify')
  .description('check an evidence bundle offline, or a stored session on the server')
  .argument('<path-or-session-id>')
  .option('--policy <file>', 'whom you trust (JSON); needed for a bundle')
  .option('--identity <file>', 'age identity: the frames themselves are read too')
  .option('--ask-chains', 'ask the anchors of this environment (LUCID_EVM_RPC_URL, …) about receipts in the bundle')
  .option('--replay', 'walk through the recording: can all of it be seen, and does its replay record say so?')
  .action(async (what: string, given: VerifyGiven) => {
    const { refusePath, verifyOnServer, verifyPath } = await import('./commands/verify.ts');
    const { policy, askChains, ...rest } = given;
    if (policy === undefined) refusePath(what);
    const check = askChains === true ? (await import('./server/anchors.ts')).anchorCheck(environment()) : null;
    if (askChains === true && check === null)
      throw new CliError('--ask-chains needs LUCID_EVM_RPC_URL or BLOCKCHAIN_ANCHORING_URL', exitCodes.usage);
    process.exitCode =
      policy === undefined
        ? await verifyOnServer(api(), what, output(), rest.replay === true)
        : await verifyPath(what, { policy, ...rest, ...(check === null ? {} : { checkAnchor: check }) }, output());
  });

program
  .command('evm')
  .description('the anchor contract on an EVM chain')
  .command('deploy')
  .description('put the contract on the chain of LUCID_EVM_RPC_URL, paid by the key in LUCID_EVM_KEY_FILE')
  .action(async () => {
    const { deployEvm } = await import('./commands/evm.ts');
    await deployEvm(environment(), output());
  });

const recordingTime = (text: string): number => {
  try {
    return parseRecordingTime(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
};
const between =
  (least: number, most: number) =>
  (text: string): number => {
    const value = /^\d{1,4}(\.\d{1,3})?$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most)) throw new InvalidArgumentError(`must be from ${least} to ${most}`);
    return value;
  };

program
  .command('video')
  .description('write a recording as a video (needs ffmpeg)')
  .argument('<session-id-or-bundle>')
  .requiredOption('--out <file>', 'ends in .mp4 or .webm')
  .option('--from <time>', 'where it begins: 10, 0:10, 00:00:10.5', recordingTime, 0)
  .option('--to <time>', 'where it ends', recordingTime)
  .option('--speed <factor>', '1 to 16', between(1, 16), 1)
  .option('--fps <rate>', 'pictures per second, 1 to 60', wholeNumber, 15)
  .option('--skip-idle', 'leave out times when nothing happens')
  .option('--no-pointer', 'without the pointer')
  .option('--identity <file>', 'age identity that opens an encrypted bundle')
  .action(async (what: string, given) => {
    const { runVideo } = await import('./commands/recording-output.ts');
    await runVideo(what, { ...given, api }, output());
  });

program
  .command('picture')
  .description('write what a recording shows at one moment as PNG')
  .argument('<session-id-or-bundle>')
  .requiredOption('--at <time>', 'the moment: 83, 1:23, 00:01:23.5, or "end"', (text) =>
    text === 'end' ? Number.POSITIVE_INFINITY : recordingTime(text),
  )
  .requiredOption('--out <file>', 'ends in .png')
  .option('--no-pointer', 'without the pointer')
  .option('--identity <file>', 'age identity that opens an encrypted bundle')
  .action(async (what: string, given) => {
    const { runPicture } = await import('./commands/recording-output.ts');
    await runPicture(what, { ...given, api }, output());
  });

async function writeNewFile(path: string, text: string): Promise<void> {
  const { makeOwnFolder, writeOwnFile } = await import('@lucid-sessions/node');
  await makeOwnFolder(dirname(path));
  try {
    await writeOwnFile(path, text);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new CliError(`${path} is there already: name another file`);
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (error instanceof CliError) return error.exitCode;
  if (error instanceof EnvironmentError || error instanceof RangeError) return exitCodes.usage;
  return exitCodes.failed;
}

/** A line for what a person can mend; the stack for what is ours to mend. */
function explain(error: unknown): string {
  if (error instanceof CommanderError) return '';
  const code = (error as NodeJS.ErrnoException).code;
  const expected =
    ['KeyError', 'SecretFileError', 'LogError'].includes((error as Error).name) ||
    error instanceof CliError ||
    error instanceof EnvironmentError ||
    error instanceof RangeError ||
    error instanceof LucidError;
  if (expected) return `${(error as Error).message}\n`;
  if (typeof code === 'string') return `${systemText(error as NodeJS.ErrnoException)}\n`;
  return `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`;
}

const endWaitMs = 3000;

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(explain(error));
  process.exitCode = exitCodeOf(error);
  // Whatever was left open: a command that failed ends.
  setTimeout(() => process.exit(), endWaitMs).unref();
}
