/** Scripts that complete commands, options and the values options may have, made of the program's own table. */
import type { Command, Option } from 'commander';

/** A command by its path (`sessions list`; empty for the program itself), with what may come next. */
interface Place {
  path: string;
  commands: { name: string; does: string }[];
  options: { names: string[]; does: string; takesValue: boolean; choices: readonly string[] }[];
}

const namesOf = ({ short, long }: Option): string[] =>
  [short, long].filter((name): name is string => name?.startsWith('--') === true);

function placesOf(command: Command, path: readonly string[] = []): Place[] {
  const options = command.options.map((option) => ({
    names: namesOf(option),
    does: option.description,
    takesValue: option.required || option.optional,
    choices: option.argChoices ?? [],
  }));
  const help = { names: ['--help'], does: 'how it is called', takesValue: false, choices: [] };
  const commands = command.commands.map((each) => ({ name: each.name(), does: each.description() }));
  return [
    { path: path.join(' '), commands, options: [...options, help] },
    ...command.commands.flatMap((each) => placesOf(each, [...path, each.name()])),
  ];
}

export function completionScript(program: Command, name: 'bash' | 'zsh' | 'fish'): string {
  const places = placesOf(program);
  if (name === 'fish') return fishScript(places);
  return name === 'bash' ? bashScript(places) : zshScript(places);
}

const wordsOf = ({ commands, options }: Place): string =>
  [...commands.map(({ name }) => name), ...options.flatMap(({ names }) => names)].join(' ');

const shell = (name: string): string => `\${${name}}`;

/** What stands between a command and the word that is completed is its path where it is one, and else is passed over. */
const findPath = (places: readonly Place[], words: string): string => {
  const paths = places.filter(({ path }) => path !== '').map(({ path }) => `"${path}"`);
  return `  local place="" word next offered=""
  for word in "${words}"; do
    next="${shell('place:+$place ')}$word"
    case "$next" in ${paths.join('|')}) place="$next" ;; esac
  done
  case "$place" in
${places.map((place) => `    "${place.path}") offered="${wordsOf(place)}" ;;`).join('\n')}
  esac`;
};

/** Values of options that take one of a few. */
function choicesOf(places: readonly Place[], before: string): string {
  const lines = places.flatMap(({ path, options }) =>
    options
      .filter(({ choices }) => choices.length > 0)
      .flatMap(({ names, choices }) => names.map((name) => `    "${path} ${name}") offered="${choices.join(' ')}" ;;`)),
  );
  return `  case "$place ${before}" in
${lines.join('\n')}
  esac`;
}

const bashScript = (places: readonly Place[]): string => `_lucid_sessions() {
${findPath(places, shell('COMP_WORDS[@]:1:COMP_CWORD-1'))}
${choicesOf(places, shell('COMP_WORDS[COMP_CWORD-1]'))}
  COMPREPLY=($(compgen -W "$offered" -- "${shell('COMP_WORDS[COMP_CWORD]')}"))
}
complete -o default -F _lucid_sessions lucid-sessions
`;

const zshScript = (places: readonly Place[]): string => `_lucid_sessions() {
${findPath(places, shell('(@)words[2,CURRENT-1]'))}
${choicesOf(places, shell('words[CURRENT-1]'))}
  compadd -- ${shell('=offered')}
  [[ "${shell('words[CURRENT]')}" == -* ]] || _files
}
compdef _lucid_sessions lucid-sessions
`;

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** One line for each word, as fish has it: what it is for is shown beside it. */
function fishScript(places: readonly Place[]): string {
  const lines = places.flatMap(({ path, commands, options }) => {
    const at = `-c lucid-sessions -n ${quoted(`__lucid_sessions_at ${quoted(path)}`)}`;
    return [
      ...commands.map(({ name, does }) => `complete ${at} -f -a ${name} -d ${quoted(does)}`),
      ...options.flatMap(({ names, does, takesValue, choices }) =>
        names.map((name) => {
          const values = choices.length > 0 ? ` -x -a ${quoted(choices.join(' '))}` : takesValue ? ' -r' : '';
          return `complete ${at} -l ${name.slice(2)}${values} -d ${quoted(does)}`;
        }),
      ),
    ];
  });
  const paths = places.filter(({ path }) => path !== '').map(({ path }) => quoted(path));
  return `function __lucid_sessions_at
  set -l place ''
  for word in (commandline -opc)[2..]
    set -l next (string trim "$place $word")
    contains -- $next ${paths.join(' ')}; and set place $next
  end
  test "$place" = "$argv[1]"
end
${lines.join('\n')}
`;
}
