import { type Command, Option } from 'commander';
import type { Cli } from '../cli/cli.ts';

const shells = ['bash', 'zsh', 'fish'] as const;

export function declareCompletion(program: Command, cli: Cli): void {
  program
    .command('completion')
    .description(
      'print a script that completes commands and options: source <(lucid-sessions completion), or lucid-sessions completion --shell fish | source',
    )
    .addOption(new Option('--shell <name>', 'which shell reads it').choices([...shells]).default('bash'))
    .action(async ({ shell }: { shell: (typeof shells)[number] }) => {
      const { completionScript } = await import('../cli/completion.ts');
      const script = completionScript(program, shell);
      cli.output().result({ shell, script }, script.trimEnd());
    });
}
