import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareExport(program: Command, cli: Cli): void {
  program
    .command('export')
    .description('write a session’s evidence bundle, and a starter policy file beside it')
    .argument('<session-id>')
    .requiredOption('--out <path>', 'a directory, or one file when it ends in .tar')
    .option('--from <time>', 'only from this time on (RFC 3339): verifies as a part')
    .option('--to <time>', 'only up to this time')
    .action(async (id: string, given: { out: string; from?: string; to?: string }) => {
      const { exportSession } = await import('./export.ts');
      const exported = await exportSession(cli.api(), cli.output(), id, given);
      cli
        .output()
        .result(
          exported,
          `bundle ${exported.bundle}\npolicy ${exported.policy}\ncheck it anywhere: lucid-sessions verify ${exported.bundle} --policy ${exported.policy}`,
        );
    });
}
