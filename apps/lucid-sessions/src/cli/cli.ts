/** What every command is given: the options before its name, and what follows from them. Made when a command asks. */
import type { Environment } from '@lucid-sessions/kit/environment';
import { readSecretFile, withSecretFiles } from '@lucid-sessions/kit/secret-file';
import type { Command } from 'commander';
import { dataDirectory } from '../server/environment.ts';
import { ApiClient } from './api-client.ts';
import { type Ask, askAtTerminal } from './consent.ts';
import { CliError, exitCodes, Output } from './output.ts';

interface GlobalOptions {
  json?: boolean;
  dataDir?: string;
  api?: string;
  tokenFile?: string;
}

export class Cli {
  readonly #program: Command;

  constructor(program: Command) {
    this.#program = program;
  }

  output(): Output {
    return new Output(process, this.#options().json === true);
  }

  /** The environment with the command line's word in front. */
  environment(): Environment {
    const { dataDir } = this.#options();
    return withSecretFiles(dataDir === undefined ? process.env : { ...process.env, LUCID_DATA_DIR: dataDir });
  }

  api(): ApiClient {
    const { api: url, tokenFile } = this.#options();
    return new ApiClient({
      url: url ?? process.env.LUCID_API_URL ?? `http://127.0.0.1:${process.env.SESSION_API_PORT || 8087}`,
      token: this.#token(tokenFile),
      onPause: (seconds) => process.stderr.write(`the API asks for a pause of ${seconds} s …\n`),
    });
  }

  ask(): Ask {
    return askAtTerminal(process);
  }

  #options(): GlobalOptions {
    return this.#program.opts<GlobalOptions>();
  }

  /** From a file or the environment, never from an argument: arguments are seen by every user of the machine. */
  #token(tokenFile: string | undefined): string {
    if (tokenFile === undefined && process.env.LUCID_TOKEN) return process.env.LUCID_TOKEN;
    const path = tokenFile ?? dataDirectory(this.environment()).adminToken;
    try {
      return readSecretFile(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      throw new CliError(`there is no token in ${path}: name one with --token-file or LUCID_TOKEN`, exitCodes.refused);
    }
  }
}
