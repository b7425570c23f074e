import { Argument, type Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { wholeNumber } from '../cli/values.ts';
import type { GivenForShare } from './keys-share.ts';

export function declareKeys(program: Command, cli: Cli): void {
  const keys = program
    .command('keys')
    .description('make, list, rotate and export this installation’s keys; shred a session’s key');
  const work = () => import('./keys.ts');
  const shares = () => import('./keys-share.ts');
  keys
    .command('init')
    .description(
      'make the keys that are missing; in a directory of its own those that services on several machines share',
    )
    .argument('[directory]', 'what is mounted into the services as LUCID_KEYS_PATH')
    .option('--auditor <file>', 'also make an age identity for an auditor: the secret goes into this new file')
    .action(async (directory: string | undefined, given: { auditor?: string }) =>
      (await work()).initKeys(cli.environment(), cli.output(), {
        ...given,
        ...(directory === undefined ? {} : { directory }),
      }),
    );
  keys
    .command('list')
    .description('show every key, secrets by their fingerprint')
    .action(async () => (await work()).listKeys(cli.environment(), cli.output()));
  keys
    .command('export-public')
    .description('the public keys as a policy file for verify --policy')
    .option('--out <file>', 'write it there')
    .action(async (given: { out?: string }) =>
      (await work()).exportPublicKeys(cli.environment(), cli.output(), given.out),
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
      (await work()).rotateKeys(cli.environment(), cli.output(), what, given),
    );
  keys
    .command('holder')
    .description('make an age identity for who holds a share of session keys; FILE.pub is what others need')
    .argument('<file>', 'the secret goes into this new file')
    .action(async (file: string) => (await shares()).makeHolder(cli.output(), file));
  keys
    .command('share')
    .description(
      'share the keys of recordings that have ended among holders, of whom several open one; needs stopped services',
    )
    .requiredOption('--threshold <count>', 'how many holders it takes, at least 2', wholeNumber)
    .requiredOption('--holders <file...>', 'their public files (age1…), 2 to 16')
    .option('--session <id>', 'of this recording alone')
    .option('--confirm <recipient...>', 'recipients who lose access to what there is')
    .option('--reason <text>', 'why; it goes into the audit log')
    .action(async (given: GivenForShare) => (await shares()).shareKeys(cli.environment(), cli.output(), given));
  keys
    .command('open-share')
    .description('open your share of a recording’s key, for who combines them')
    .argument('<session-id-or-bundle>')
    .requiredOption('--identity <file>', 'your age identity')
    .option('--viewing <id>', 'which request, where a session has several')
    .action(async (what: string, given: { identity: string; viewing?: string }) =>
      (await shares()).printShare(() => cli.api(), cli.output(), what, given),
    );
  keys
    .command('shred')
    .description('destroy a session’s key for good: what was recorded can be proven, never read again')
    .argument('<session-id>')
    .option('--confirm <session-id>', 'the session id once more, or its name; asked for at a terminal')
    .option('--reason <text>', 'why; it is signed into the erase record')
    .action(async (id: string, given: { confirm?: string; reason?: string }) =>
      (await work()).shredSession(cli.api(), cli.output(), id, given, cli.ask()),
    );
}
