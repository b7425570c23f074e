import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { certificateSha256, channelRules, retention, target } from '../cli/values.ts';

/** Passwords come from files and pipes: arguments are seen by every user of the machine. */
const withFields = (command: Command): Command =>
  command
    .option('--description <text>')
    .option('--pinned-sha256 <hex>', 'take exactly this certificate of the host', certificateSha256)
    .option('--fetch-certificate', 'ask the host for its certificate, pin it, and show it')
    .option('--ignore-cert', 'take any certificate of the host (a recorded fact)')
    .option('--legacy-tls', 'also take TLS 1.0, CBC and no forward secrecy (a recorded fact)')
    .option('--channels <rules>', 'what may cross: drives:off+deny:ECHO (RDP_CHANNELS)', channelRules)
    .option('--graphics <mode>', 'passthrough or classic')
    .option('--approval', 'a second person lets each connection in')
    .option('--retention <days>', 'days its recordings are kept, or none', retention)
    .option('--project <name>')
    .option('--environment <name>')
    .option('--label <names...>', 'tags of every session with it')
    .option('--connect-role <roles...>', 'whose roles may connect; without roles and users: who may make sessions')
    .option('--connect-user <names...>', 'who may connect')
    .option('--target-user <name>', 'whom the gateway logs on as: user, DOMAIN\\user or user@domain')
    .option('--target-password-file <file>', 'that user’s password: a file of mode 600, or - for what is piped in')
    .option('--target-vault <path>', 'user and password from Vault: kv:MOUNT/PATH or dynamic:MOUNT/ROLE')
    .option('--target-client', 'what the client sends logs on, also to a host that demands NLA');

export function declareTargets(program: Command, cli: Cli): void {
  const targets = program.command('targets').description('hosts people connect to');
  const work = () => import('./targets.ts');
  targets
    .command('list')
    .option('--search <text>', 'with this in name, description, host, project or labels')
    .action(async (given) => (await work()).listTargets(cli.api(), cli.output(), given));
  targets
    .command('show')
    .argument('<target>', 'its name or id')
    .action(async (name: string) => (await work()).showTarget(cli.api(), cli.output(), name));
  withFields(targets.command('add'))
    .argument('<name>', 'what people call it')
    .argument('<address>', 'host, host:port or [ipv6]:port', target)
    .description('a new target')
    .action(async (name: string, address: string, given) =>
      (await work()).addTarget(cli.api(), cli.output(), name, address, given),
    );
  withFields(targets.command('set'))
    .argument('<target>', 'its name or id')
    .option('--name <name>')
    .option('--address <address>', 'host, host:port or [ipv6]:port', target)
    .option('--no-credentials', 'forget who logs on')
    .description('change a target; what is left out stays as it is')
    .action(async (name: string, given) => (await work()).setTarget(cli.api(), cli.output(), name, given));
  targets
    .command('remove')
    .argument('<target>', 'its name or id')
    .description('remove a target and its credentials; its sessions stay')
    .action(async (name: string) => (await work()).removeTarget(cli.api(), cli.output(), name));
  targets
    .command('check')
    .argument('<address>', 'host, host:port or [ipv6]:port', target)
    .option('--legacy-tls', 'also take TLS 1.0 and weak ciphers')
    .description('ask a host for its certificate, as the gateway reaches it')
    .action(async (address: string, given) => (await work()).checkTarget(cli.api(), cli.output(), address, given));
  targets
    .command('connect')
    .argument('<target>', 'its name or id')
    .option('--name <name>', 'of the session')
    .description('make a session with it')
    .action(async (name: string, given) => (await work()).connectTarget(cli.api(), cli.output(), name, given));
}
