import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { recordingTime } from '../cli/values.ts';

export function declarePicture(program: Command, cli: Cli): void {
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
      const { runPicture } = await import('./recording-output.ts');
      await runPicture(what, { ...given, api: () => cli.api() }, cli.output());
    });
}
