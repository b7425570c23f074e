import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { wholeNumber } from '../cli/values.ts';

export function declareEvents(program: Command, cli: Cli): void {
  program
    .command('events')
    .description('what happened in a recording, and when: windows, files, clicks, logons; typed and copied texts too')
    .argument('<session-id>')
    .option('--inputs', 'show typed and copied texts (needs recordings:inputs; audited)')
    .option('--logon', 'and what was typed before somebody had logged on, which may be a password')
    .option('--kind <kind>', 'events of one kind: typed, clipboard_text, drive_open, window, …')
    .option('--search <text>', 'events with this in a text')
    .option('--reason <text>', 'why, where the recording is shown on request only: asks for it')
    .option('--limit <count>', 'how many at most', wholeNumber, 1000)
    .action(async (id: string, given) => (await import('./events.ts')).showEvents(cli.api(), cli.output(), id, given));
}
