/** What the commands print: results on standard output (text, or one JSON value with `--json`), progress on standard error. */
import { styleText } from 'node:util';

export { formatBytes } from '@lucid-sessions/contract/sizes';

export const exitCodes = { ok: 0, failed: 1, usage: 2, unreachable: 3, refused: 4, interrupted: 130 } as const;

/** What an answer of the API says of why it refuses. */
export interface ApiRefusal {
  code?: string;
  /** Its id of the request. */
  reference?: string;
  details?: Readonly<Record<string, unknown>>;
}

/** A failure a person can act on; `exitCode` is one of `exitCodes` or a verdict's. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: number;
  /** The API's code of the error (`LUCID_ERR_…`), where it is its. */
  readonly code?: string;
  /** The API's id of the request, where it answered. */
  readonly reference?: string;
  /** What the API says beside its message. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(message: string, exitCode: number = exitCodes.failed, api: ApiRefusal = {}) {
    super(message);
    this.exitCode = exitCode;
    if (api.code !== undefined) this.code = api.code;
    if (api.reference !== undefined) this.reference = api.reference;
    this.details = api.details ?? {};
  }
}

export interface Streams {
  stdout: { write(text: string): unknown; isTTY?: boolean };
  stderr: { write(text: string): unknown; isTTY?: boolean };
}

/** Names and messages are other people's words: a terminal must not obey them. */
export const printable = (text: string): string => text.replaceAll(/[^\P{Cc}\n\t]/gu, '\ufffd');

type Colour = 'green' | 'yellow' | 'red' | 'cyan';
/** Words by the colour they have where they begin a cell or a line. */
export type Colours = Readonly<Record<string, Colour>>;

/** https://no-color.org: set and not empty, nothing is coloured. */
export const isColourful = ({ isTTY }: { isTTY?: boolean }): boolean =>
  isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';

function coloured(text: string, colours: Colours): string {
  const words = Object.keys(colours);
  if (words.length === 0) return text;
  const cell = new RegExp(`(?<=^| {2})(${words.join('|')})(?=$| )`, 'gm');
  return text.replaceAll(cell, (word) => styleText(colours[word]!, word, { validateStream: false }));
}

export class Output {
  readonly json: boolean;
  readonly #streams: Streams;
  #progressShown = false;
  #countShown = 0;

  constructor(streams: Streams, json: boolean) {
    this.#streams = streams;
    this.json = json;
  }

  /** Whether somebody reads standard output: where it goes into a file, a log or a pipe, no secret may go with it. */
  get isRead(): boolean {
    return this.#streams.stdout.isTTY === true;
  }

  /** The command's result: `value` as JSON with `--json`, otherwise the text, in colours where a person reads it. */
  result(value: unknown, text: string, colours: Colours = {}): void {
    this.#clearProgress();
    const shown = () => coloured(printable(text), isColourful(this.#streams.stdout) ? colours : {});
    this.#streams.stdout.write(`${this.json ? JSON.stringify(value, null, 2) : shown()}\n`);
  }

  /** One of many results, as one line of JSON with `--json`. */
  line(value: unknown, text: string): void {
    this.#clearProgress();
    this.#streams.stdout.write(`${this.json ? JSON.stringify(value) : printable(text)}\n`);
  }

  /** In the place of what stands on the terminal. */
  redraw(text: string, colours: Colours = {}): void {
    const shown = coloured(printable(text), isColourful(this.#streams.stdout) ? colours : {});
    this.#streams.stdout.write(`\u001b[H\u001b[2J${shown}\n`);
  }

  /** A line for a person that is not the result; silent with `--json`. */
  say(line: string): void {
    this.#clearProgress();
    if (!this.json) this.#streams.stdout.write(`${printable(line)}\n`);
  }

  /**
   * A line that replaces itself on a terminal. Elsewhere a stage (no `count`) is printed once, and a growing count each time
   * it has doubled, so that a log shows life without filling up.
   */
  progress(line: string, count?: number): void {
    if (this.json) return;
    if (this.#streams.stderr.isTTY) {
      this.#streams.stderr.write(`\r\u001b[2K${line}`);
      this.#progressShown = true;
      return;
    }
    if (count !== undefined && count < this.#countShown * 2) return;
    this.#countShown = count ?? 0;
    this.#streams.stderr.write(`${line}\n`);
  }

  #clearProgress(): void {
    if (this.#progressShown) this.#streams.stderr.write('\r\u001b[2K');
    this.#progressShown = false;
  }
}

/** Columns padded to their widest cell, two spaces between. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return parts.map((part) => String(part).padStart(2, '0')).join(':');
}
