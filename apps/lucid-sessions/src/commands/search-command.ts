import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { wholeNumber } from '../cli/values.ts';

export function declareSearch(program: Command, cli: Cli): void {
  program
    .command('search')
    .description('find what was typed, copied, opened or shown as a title across recordings')
    .argument('<text>', 'part of a text, or - for what is piped in: arguments are seen by every user of the machine')
    .requiredOption('--reason <text>', 'why; it stands in the audit log and in the custody of what is found')
    .option('--inputs', 'also in what was typed and copied (needs recordings:inputs)')
    .option('--logon', 'and in what was typed before somebody had logged on, which may be a password')
    .option('--kind <kind>', 'events of one kind: typed, clipboard_text, drive_open, window, …')
    .option('--user <name>', 'sessions of this user')
    .option('--host <name>', 'sessions to this target')
    .option('--project <name>')
    .option('--environment <name>')
    .option('--since <time>', 'sessions created at this time or later (RFC 3339)')
    .option('--until <time>', 'or up to this one')
    .option('--limit <count>', 'recordings', wholeNumber, 100)
    .action(async (text: string, given) => {
      const { readSearched, searchRecordings } = await import('./search.ts');
      await searchRecordings(cli.api(), cli.output(), await readSearched(text), given);
    });
}
