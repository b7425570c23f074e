import { type Command, InvalidArgumentError } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { wholeNumber } from '../cli/values.ts';
import { parseRecordingTime } from './recording-time.ts';

interface Span {
  from_us: number;
  to_us: number;
}
interface Box extends Span {
  x: number;
  y: number;
  width: number;
  height: number;
}

const wholeUs = Number.MAX_SAFE_INTEGER;

function spanOf(text: string): Span {
  const [from, to, ...more] = text.split('-').map((part) => parseRecordingTime(part));
  if (from === undefined || to === undefined || more.length > 0 || !(Number.isFinite(from) && from! < to!))
    throw new InvalidArgumentError('must be FROM-TO, as 0:10-0:25.5');
  return { from_us: from as number, to_us: Number.isFinite(to) ? (to as number) : wholeUs };
}

const addSpan = (text: string, before: Span[] = []): Span[] => [...before, spanOf(text)];

function addBox(text: string, before: Box[] = []): Box[] {
  const [place = '', span] = text.split('@');
  const match = /^(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})$/.exec(place);
  if (match === null)
    throw new InvalidArgumentError('must be X,Y,WIDTH,HEIGHT, or with a time: X,Y,WIDTH,HEIGHT@FROM-TO');
  const [x = 0, y = 0, width = 0, height = 0] = match.slice(1).map(Number);
  if (width === 0 || height === 0) throw new InvalidArgumentError('must have a width and a height');
  return [...before, { x, y, width, height, ...(span === undefined ? { from_us: 0, to_us: wholeUs } : spanOf(span)) }];
}

interface Given {
  out: string;
  reason: string;
  box?: Box[];
  span?: Span[];
  dropEvents?: string[];
  plan?: string;
  fps: number;
  pointer: boolean;
}

export function declareRedact(program: Command, cli: Cli): void {
  const redact = program
    .command('redact')
    .description('make a copy of a recording of which something is taken out, and a signed record of what; check one');
  redact
    .command('make', { isDefault: true })
    .argument('<session-id>')
    .requiredOption('--out <folder>', 'the copy: video, events, hashes of its pictures, signed records')
    .requiredOption('--reason <text>', 'why; it is signed into the record')
    .option('--box <place>', 'X,Y,WIDTH,HEIGHT made black, for a time with @FROM-TO; several by repeating it', addBox)
    .option('--span <time>', 'FROM-TO: nothing is seen, heard or told; several by repeating it', addSpan)
    .option('--drop-events <kind...>', 'kinds of events that are not told at all')
    .option('--plan <file>', 'boxes and spans as the console writes them')
    .option('--fps <rate>', 'pictures per second, 1 to 60', wholeNumber, 15)
    .option('--no-pointer', 'without the pointer')
    .action(async (id: string, given: Given) => {
      const { redactSession } = await import('./redact.ts');
      const { readPlan } = await import('./redact-plan.ts');
      const { box = [], span = [], dropEvents = [], plan, fps: framesPerSecond, ...rest } = given;
      const read = plan === undefined ? null : await readPlan(plan);
      await redactSession(cli.api(), cli.output(), id, {
        ...rest,
        framesPerSecond,
        boxes: [...(read?.boxes ?? []), ...box],
        spans: [...(read?.spans ?? []), ...span],
        event_kinds: [...new Set([...(read?.event_kinds ?? []), ...dropEvents])],
      });
    });
  redact
    .command('verify')
    .description('whether a copy is what its record says; with --original also whether it shows that recording')
    .argument('<folder>')
    .requiredOption('--policy <file>', 'whom you trust (keys export-public)')
    .option('--original <session-id-or-bundle>', 'the recording, which is drawn again with its view key')
    .option('--identity <file>', 'age identity, or shares, that open an encrypted bundle')
    .action(async (folder: string, given: { policy: string; original?: string; identity?: string }) => {
      const { verifyRedaction } = await import('./redact-verify.ts');
      process.exitCode = await verifyRedaction(folder, { ...given, api: () => cli.api() }, cli.output());
    });
}
