import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareExtract(program: Command, cli: Cli): void {
  program
    .command('extract')
    .description('write what crossed clipboard and drives of a session as files; audited')
    .argument('<session-id>')
    .requiredOption('--out <dir>', 'a directory that is not there yet')
    .action(async (id: string, given: { out: string }) => {
      const { extractContents } = await import('./extract.ts');
      const extracted = await extractContents(cli.api(), cli.output(), id, given.out);
      cli.output().result(extracted, `${extracted.files} files in ${extracted.directory}, listed in contents.json`);
    });
}
