import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareCompletion(program: Command, cli: Cli): void {
  program
    .command('completion')
    .description('print a script that completes commands and options in bash: source <(lucid-sessions completion)')
    .action(() => {
      const script = bashScript(program);
      cli.output().result({ shell: 'bash', script }, script.trimEnd());
    });
}

/** Every command by its path (`sessions list`; empty for the program itself) with what may come next. */
function wordsByPath(command: Command, path: readonly string[] = []): [string, string[]][] {
  const options = command.options.flatMap(({ long }) => (long === null || long === undefined ? [] : [long]));
  const words = [...command.commands.map((each) => each.name()), ...options, '--help'];
  return [[path.join(' '), words], ...command.commands.flatMap((each) => wordsByPath(each, [...path, each.name()]))];
}

function bashScript(program: Command): string {
  const all = wordsByPath(program);
  const paths = all.filter(([path]) => path !== '').map(([path]) => `"${path}"`);
  return `_lucid_sessions() {
  local path="" word next words=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    next="\${path:+$path }$word"
    case "$next" in ${paths.join('|')}) path="$next" ;; esac
  done
  case "$path" in
${all.map(([path, words]) => `    "${path}") words="${words.join(' ')}" ;;`).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _lucid_sessions lucid-sessions
`;
}
