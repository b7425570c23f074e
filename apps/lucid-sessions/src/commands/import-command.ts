import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { retention, wholeNumber } from '../cli/values.ts';
import type { ImportOptions } from './import.ts';

export function declareImport(program: Command, cli: Cli): void {
  program
    .command('import')
    .description(
      'make recordings of the RDP connections in a packet capture; with --redact or --rdpcap: a report or a file instead',
    )
    .argument('<file>', 'pcapng or pcap, as Wireshark, tcpdump and pktmon write them, or an .rdpcap file')
    .option(
      '--keylog <file>',
      'TLS key log, or PEM file with a server’s RSA key; may be given several times',
      (path: string, paths: string[]) => [...paths, path],
      [] as string[],
    )
    .option('--connection <number>', 'which one, where the file holds several', wholeNumber)
    .option('--list', 'only say what the file holds')
    .option('--name <name>', 'what people call the recording; the file’s name when not given')
    .option('--project <name>')
    .option('--environment <name>')
    .option('--retention <days>', 'how long it is kept, or none: until it is deleted', retention)
    .option('--rdpcap <file>', 'write it as an .rdpcap file, for render and inspect')
    .option('--redact <file>', 'write a report of kinds and counts without any content')
    .action(async (file: string, given: ImportOptions) => {
      const { importCapture } = await import('./import.ts');
      process.exitCode = await importCapture(cli.output(), file, given, () => cli.api());
    });
}
