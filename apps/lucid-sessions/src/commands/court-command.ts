import { type Command, Option } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareCourt(program: Command, cli: Cli): void {
  program
    .command('court')
    .description(
      'write a recording with player, verifier and report as one HTML file that opens without a server or a network',
    )
    .argument('<session-id-or-bundle>', 'a session of the server, or a bundle that was exported (directory or .tar)')
    .requiredOption(
      '--out <path>',
      'a file that ends in .html, or a folder: above 200 MB the evidence lies beside the page',
    )
    .addOption(
      new Option(
        '--view-key <where>',
        'the key that opens the pictures of this recording: in the file, in a file beside it, or nowhere',
      )
        .choices(['included', 'beside', 'none'])
        .default('none'),
    )
    .option('--key <file>', 'of a bundle: its view key (64 hex digits, or base64)')
    .action(async (what: string, given: { out: string; viewKey: 'included' | 'beside' | 'none'; key?: string }) => {
      const { makeCourtFile } = await import('./court.ts');
      const made = await makeCourtFile(() => cli.api(), cli.output(), what, given);
      const key = {
        included: 'the view key is INSIDE: whoever has this file can see the recording',
        beside: `the view key is in ${made.view_key}: hand it over by another way`,
        none: 'the view key is not in it: the evidence is checked, and pictures need the key',
      }[given.viewKey];
      cli
        .output()
        .result(
          made,
          `court file ${made.file}\nSHA-256    ${made.sha256}\n${made.evidence === null ? '' : `evidence   ${made.evidence}\n`}${key}\ntell the SHA-256 by another way than the file; the reader checks it against the policy they hold (keys export-public)`,
        );
    });
}
