/** The manual page, made of the program's own table of commands and options: man(7), as groff and mandoc read it. */
import type { Argument, Command, Option } from 'commander';

/** A hyphen that is typed is no minus of typesetting; a line must not begin like a request. */
function roff(text: string): string {
  const plain = text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/\s*\n\s*/g, ' ');
  return plain.replaceAll(
    /[^\x20-\x7e]/gu,
    (letter) => `\\[u${letter.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`,
  );
}

const quoted = (text: string): string => `"${roff(text).replaceAll('"', '\\(dq')}"`;
const paragraph = (text: string): string => roff(text).replace(/^([.'])/, '\\&$1');

const argumentText = (argument: Argument): string => {
  const name = argument.name() + (argument.variadic ? '...' : '');
  return argument.required ? `<${name}>` : `[${name}]`;
};

function optionLines({ flags, description, argChoices, defaultValue, mandatory }: Option): string[] {
  const values = argChoices === undefined ? '' : `one of ${argChoices.join(', ')}`;
  const standing =
    defaultValue === undefined || typeof defaultValue === 'object' ? '' : `default ${String(defaultValue)}`;
  const facts = [mandatory ? 'needed' : '', values, standing].filter((fact) => fact !== '').join('; ');
  const told = [description, facts === '' ? '' : `(${facts})`].filter((text) => text !== '').join(' ');
  return ['.TP', `\\fB${roff(flags).replace(/([<[].*)$/, '\\fR$1')}\\fR`, told === '' ? '\\&' : paragraph(told)];
}

/** Commands that do something: those above them only gather. */
function leavesOf(command: Command, path: readonly string[] = []): [string[], Command][] {
  return command.commands.flatMap((each) => {
    const at = [...path, each.name()];
    return each.commands.length === 0 ? [[at, each] as [string[], Command]] : leavesOf(each, at);
  });
}

function commandLines([path, command]: [string[], Command]): string[] {
  const given = command.registeredArguments.map(argumentText);
  const options = command.options.filter(({ hidden }) => !hidden);
  const about = command.description() || command.parent?.description() || '';
  const args = command.registeredArguments.filter(({ description }) => description !== '');
  return [
    `.SS ${quoted([...path, ...given, ...(options.length === 0 ? [] : ['[options]'])].join(' '))}`,
    ...(about === '' ? [] : [paragraph(`${about}.`)]),
    ...args.flatMap((argument) => ['.TP', `\\fI${roff(argument.name())}\\fR`, paragraph(argument.description)]),
    ...options.flatMap(optionLines),
  ];
}

const exitStatus: readonly [string, string][] = [
  ['0', 'done; of verify: the bundle is clean'],
  ['1', 'failed; of backup, restore, check and scrub also: something is missing or damaged'],
  ['2', 'wrong usage, or a setting that can not be'],
  ['3', 'no API answers'],
  ['4', 'not permitted'],
  ['10 and above', 'of verify: one per kind of finding'],
  ['130', 'stopped by Ctrl-C'],
];

const environment: readonly [string, string][] = [
  ['LUCID_API_URL', 'the Session API, as --api names it'],
  ['LUCID_TOKEN', 'an access token'],
  ['LUCID_DATA_DIR', 'the data directory, as --data-dir names it'],
  ['NO_COLOR', 'nothing is coloured where it is set'],
];

const entries = (all: readonly [string, string][]): string[] =>
  all.flatMap(([name, does]) => ['.TP', `\\fB${roff(name)}\\fR`, paragraph(does)]);

/** `date`: of the release, as 2026-11-30. */
export function manPage(program: Command, version: string, date: string): string {
  const name = program.name();
  const lines = [
    `.TH ${quoted(name.toUpperCase())} 1 "${date}" ${quoted(`${name} ${version}`)} "Lucid Sessions"`,
    '.SH NAME',
    `${roff(name)} \\- ${roff(program.description())}`,
    '.SH SYNOPSIS',
    `.B ${roff(name)}`,
    '[options] command [arguments]',
    '.SH DESCRIPTION',
    paragraph(
      'Runs the gateway and its services, works with the API of an installation that runs, and judges evidence offline. Every command says with --help what it takes.',
    ),
    '.SH OPTIONS',
    paragraph('Before or behind the command:'),
    ...program.options.flatMap(optionLines),
    '.SH COMMANDS',
    ...leavesOf(program).flatMap(commandLines),
    '.SH EXIT STATUS',
    ...entries(exitStatus),
    '.PP',
    paragraph(
      'With --json a command that fails writes one line of JSON on standard error: {"error":{"code","message","reference","exit_code"}}.',
    ),
    '.SH ENVIRONMENT',
    paragraph('What services read stands in docs/operations.md. Of commands:'),
    ...entries(environment),
    '.SH FILES',
    '.TP',
    '\\fI~/.config/lucid\\-sessions/sign\\-ins.json\\fR',
    paragraph('tokens of servers that login signed in to, mode 0600'),
    '.TP',
    '\\fIdata/secrets/admin\\-token\\fR',
    paragraph('below the data directory: the administrator’s token of this machine, mode 0600'),
  ];
  return `${lines.join('\n')}\n`;
}
