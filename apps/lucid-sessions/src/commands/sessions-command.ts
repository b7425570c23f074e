import type { ReplayState, SessionOutcome } from '@lucid-sessions/contract';
import { joinPolicies } from '@lucid-sessions/contract/recording-limits';
import { sessionSorts } from '@lucid-sessions/contract/session-list';
import { type Command, Option } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { refuseExisting, writeTextFile } from '../cli/text-file.ts';
import {
  between,
  bytes,
  certificateSha256,
  channelRules,
  isoTime,
  leaveIn,
  retention,
  target,
  wholeNumber,
  wholeSeconds,
} from '../cli/values.ts';

const outcomes = ['whole', 'recovered', 'gap', 'refused', 'never_connected'] satisfies SessionOutcome[];
const replays = ['drawn', 'parts', 'nothing', 'unexamined'] satisfies ReplayState[];

const sessionStatusesHelp = 'created, starting, recording, paused, stopped, processing, completed, failed, deleted';

/** Passwords come from files and pipes: arguments are seen by every user of the machine. */
const withCredentials = (command: Command): Command =>
  command
    .option('--target-user <name>', 'whom the gateway logs on as: user, DOMAIN\\user or user@domain')
    .option('--target-password-file <file>', 'that user’s password: a file of mode 600, or - for what is piped in')
    .option('--target-vault <path>', 'user and password from Vault: kv:MOUNT/PATH or dynamic:MOUNT/ROLE')
    .option('--target-once', 'forget the credentials when the first connection is recorded')
    .option('--target-client', 'what the client sends logs on, also to a target that demands NLA');

const via = (): Option =>
  new Option('--via <way>', 'where that file leads: gateway is the RD Gateway on the TLS port').choices([
    'listener',
    'gateway',
  ]);

function declareGrants(sessions: Command, cli: Cli): void {
  const grants = sessions.command('grants').description('who is let see one recording, whatever their scope');
  const work = () => import('./session-grants.ts');
  grants
    .command('list')
    .description('who is let see a recording beside their scope, why and until when')
    .argument('<session-id>')
    .action(async (id: string) => (await work()).listGrants(cli.api(), cli.output(), id));
  grants
    .command('give')
    .description('let somebody see a recording, as far as their roles go; given again, it ends then')
    .argument('<session-id>')
    .argument('<user>', 'whose account it is')
    .requiredOption('--days <count>', 'from now on, at most 365', wholeNumber)
    .requiredOption('--reason <text>', 'why; it goes into the audit log')
    .action(async (id: string, user: string, given: { days: number; reason: string }) =>
      (await work()).giveGrant(cli.api(), cli.output(), id, user, given),
    );
  grants
    .command('take')
    .description('take it back before it ends by itself')
    .argument('<session-id>')
    .argument('<user>')
    .action(async (id: string, user: string) => (await work()).takeGrant(cli.api(), cli.output(), id, user));
}

export function declareSessions(program: Command, cli: Cli): void {
  const sessions = program.command('sessions').description('list, show, create, start, stop and delete sessions');
  const work = () => import('./sessions.ts');
  sessions
    .command('list')
    .description('list sessions, the latest first')
    .option('--status <status>', sessionStatusesHelp)
    .option('--project <name>')
    .option('--environment <name>')
    .option('--search <text>', 'with this in name, id, host, owner or tags')
    .option('--user <name>', 'who came, who it is for, who owns or made it; whole')
    .option('--client <name>', 'name or address of the client; whole')
    .option('--target <host>', 'host, host:port or id of the target; whole')
    .option('--tag <name>', 'with this label')
    .option('--since <time>', 'begun at this moment or later, as 2026-11-30 or 2026-11-30T08:00:00Z', isoTime)
    .option('--until <time>', 'or up to this one', isoTime)
    .addOption(new Option('--outcome <what>', 'what became of it; gap: frames are missing').choices(outcomes))
    .addOption(new Option('--replay <state>', 'whether all that was recorded can be seen').choices(replays))
    .option('--longer <time>', 'at least so long: seconds, 1:30 or 00:01:30', wholeSeconds)
    .option('--shorter <time>', 'at most', wholeSeconds)
    .option('--larger <size>', 'at least so many bytes stored: 1500000, 1500kB or 2GB', bytes)
    .option('--smaller <size>', 'at most', bytes)
    .addOption(new Option('--sort <by>', 'in which order').choices([...sessionSorts]))
    .addOption(new Option('--order <way>', 'of it').choices(['asc', 'desc']))
    .option('--limit <count>', 'at most 100', wholeNumber, 50)
    .option('--offset <count>', 'leave out so many', wholeNumber, 0)
    .option('--all', 'every one, however many there are')
    .option('--watch', 'go on, and show what changes: one line each where nobody sits at a terminal')
    .option('--every <seconds>', 'how often --watch asks', between(1, 3600), 2)
    .action(async (given) => (await import('./session-list.ts')).listSessions(cli.api(), cli.output(), given));
  sessions
    .command('show')
    .argument('<session-id>')
    .action(async (id: string) => (await work()).showSession(cli.api(), cli.output(), id));
  withCredentials(sessions.command('create'))
    .argument('<target>', 'host, host:port or [ipv6]:port', target)
    .requiredOption('--name <name>', 'what people call it')
    .option('--username <name>', 'whom the session is for; clients that send this name as mstshash find it')
    .option('--ignore-cert', 'take any certificate of the target (a recorded fact)')
    .option('--pinned-sha256 <hex>', 'take exactly this certificate of the target', certificateSha256)
    .option('--legacy-tls', 'also take TLS 1.0, CBC and no forward secrecy from the target (a recorded fact)')
    .option(
      '--leave-in <names>',
      'of graphics, bitmap_cache, udp, video, with +: what replay can’t show stays in (a recorded fact)',
      leaveIn,
    )
    .option('--no-bulk-compression', 'the target may not compress: smaller recordings, more network (a recorded fact)')
    .option('--restricted-admin', 'log on to the target without handing the password over (its administrators only)')
    .option('--preconnection-blob <text>', 'which machine of a Hyper-V host is meant (its id; the port is 2179)')
    .addOption(
      new Option('--clipboard <way>', 'in: from the client into the session').choices(['both', 'in', 'out', 'off']),
    )
    .addOption(new Option('--clipboard-files <way>', 'the same for files').choices(['both', 'in', 'out', 'off']))
    .option('--no-drives', 'the client’s drives are not redirected; so with the next ones')
    .option('--no-printers')
    .option('--no-ports', 'serial and parallel')
    .option('--no-smart-cards')
    .option('--no-audio', 'the session’s sound')
    .option('--no-microphone')
    .option('--no-camera')
    .option('--no-usb', 'and plug and play devices')
    .option('--no-location')
    .option('--no-other-channels', 'channels whose use nobody knows')
    .option('--channels <rules>', 'all of these in one, and names: drives:off+deny:ECHO (RDP_CHANNELS)', channelRules)
    .option('--graphics <mode>', 'passthrough or classic')
    .option('--consent-file <file>', 'a text its user acknowledges before the session, or none: without one')
    .option('--approval', 'a second person lets each connection in')
    .option('--no-approval', 'nobody has to')
    .addOption(
      new Option('--join <policy>', 'whether somebody else may take it over: its user is asked').choices([
        ...joinPolicies,
      ]),
    )
    .option('--project <name>')
    .option('--environment <name>')
    .option('--retention <days>', 'how long it is kept after its end, or none: until it is deleted', retention)
    .option('--rdp-file <file>', 'write the connection file for mstsc or xfreerdp there')
    .addOption(via())
    .action(async (host: string, given) => {
      if (given.rdpFile !== undefined) refuseExisting(given.rdpFile);
      await (await work()).createSession(cli.api(), cli.output(), host, given, writeTextFile);
    });
  withCredentials(sessions.command('start'))
    .description('record the next connection to a session, with other credentials for its target where some are given')
    .argument('<session-id>')
    .action(async (id: string, given) => (await work()).startSession(cli.api(), cli.output(), id, given));
  sessions
    .command('rdp-file')
    .description('write a new connection file of a session; one from before leads nowhere then')
    .argument('<session-id>')
    .argument('<file>')
    .addOption(via())
    .action(async (id: string, file: string, given: { via?: 'listener' | 'gateway' }) => {
      refuseExisting(file);
      await (await work()).fetchRdpFile(cli.api(), cli.output(), id, file, given, writeTextFile);
    });
  sessions
    .command('credential')
    .description('issue a user name and password to log on to the gateway with (NLA); shown once')
    .argument('<session-id>')
    .option('--rdp-file <file>', 'write a connection file there that asks for it; it holds no secret')
    .action(async (id: string, given: { rdpFile?: string }) =>
      (await work()).issueCredential(cli.api(), cli.output(), id, given, writeTextFile),
    );
  sessions
    .command('stop')
    .argument('<session-id>')
    .option('--reason <text>', 'why; it stands in the session and its manifest')
    .option('--notice <seconds>', 'show the reason to its user that long before (1 to 15)', wholeNumber)
    .action(async (id: string, given: { reason?: string; notice?: number }) =>
      (await work()).stopSession(cli.api(), cli.output(), id, given),
    );
  sessions
    .command('approvals')
    .description('list connections that wait for a second person to let them in')
    .action(async () => (await work()).listApprovals(cli.api(), cli.output()));
  for (const decision of ['approve', 'refuse'] as const)
    sessions
      .command(decision)
      .description(`${decision} a connection that waits for a second person`)
      .argument('<session-id>')
      .requiredOption('--reason <text>', 'why: it goes into the audit log, and to the user or into the manifest')
      .option('--connection <id>', 'which one, where several wait')
      .action(async (id: string, given: { reason: string; connection?: string }) =>
        (await work()).decideApproval(cli.api(), cli.output(), id, decision, given),
      );
  declareGrants(sessions, cli);
  sessions
    .command('message')
    .description('show a message to who works in a session, over the top of their desktop')
    .argument('<session-id>')
    .argument('<text>')
    .option('--seconds <count>', 'how long it is shown, 5 to 120 (20)', wholeNumber)
    .action(async (id: string, text: string, given: { seconds?: number }) =>
      (await work()).messageSession(cli.api(), cli.output(), id, text, given),
    );
  sessions
    .command('pipeline')
    .description('what is done and missing of a session’s evidence, and why')
    .argument('<session>')
    .option('--resume', 'let held jobs go on, and try what failed once more')
    .action(async (id: string, { resume }: { resume?: boolean }) => {
      const { showPipeline } = await import('./session-pipeline.ts');
      await showPipeline(cli.api(), cli.output(), id, resume === true);
    });
  sessions
    .command('delete')
    .description('delete a session for good; asks for its name and a reason where they are not given')
    .argument('<session-id>')
    .option('--confirm <name>', 'the name of the session')
    .option('--reason <text>', 'why; it goes into the audit log and the signed erase record')
    .action(async (id: string, given: { confirm?: string; reason?: string }) =>
      (await work()).deleteSession(cli.api(), cli.output(), id, given, cli.ask()),
    );
}
