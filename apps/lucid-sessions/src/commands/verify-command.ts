import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { CliError, exitCodes } from '../cli/output.ts';

type VerifyGiven = { policy?: string; identity?: string; askChains?: boolean; replay?: boolean; log?: string };

export function declareVerify(program: Command, cli: Cli): void {
  program
    .command('verify')
    .description('check an evidence bundle offline, or a stored session on the server')
    .argument('<path-or-session-id>')
    .option('--policy <file>', 'whom you trust (JSON); needed for a bundle')
    .option('--identity <file>', 'age identity: the frames themselves are read too')
    .option('--ask-chains', 'ask the anchors of this environment (LUCID_EVM_RPC_URL, …) about receipts in the bundle')
    .option(
      '--log <dir-or-url>',
      'compare with the whole log (…/log of an installation): is anything left out, or there twice?',
    )
    .option('--replay', 'walk through the recording: can all of it be seen, and does its replay record say so?')
    .action(async (what: string, given: VerifyGiven) => {
      const { refusePath, verifyOnServer, verifyPath } = await import('./verify.ts');
      const { policy, askChains, ...rest } = given;
      if (policy === undefined) refusePath(what);
      if (policy === undefined && rest.log !== undefined)
        throw new CliError('--log compares a bundle: it takes --policy', exitCodes.usage);
      const check = askChains === true ? (await import('../server/anchors.ts')).anchorCheck(cli.environment()) : null;
      if (askChains === true && check === null)
        throw new CliError('--ask-chains needs LUCID_EVM_RPC_URL or BLOCKCHAIN_ANCHORING_URL', exitCodes.usage);
      process.exitCode =
        policy === undefined
          ? await verifyOnServer(cli.api(), what, cli.output(), rest.replay === true)
          : await verifyPath(
              what,
              { policy, ...rest, ...(check === null ? {} : { checkAnchor: check }) },
              cli.output(),
            );
    });
}
