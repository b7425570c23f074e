import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { between, recordingTime, wholeNumber } from '../cli/values.ts';

export function declareVideo(program: Command, cli: Cli): void {
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
      const { runVideo } = await import('./recording-output.ts');
      await runVideo(what, { ...given, api: () => cli.api() }, cli.output());
    });
}
