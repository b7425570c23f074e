/** What every command is given: the options before its name, and what follows from them. Made when a command asks. */
import type { Environment } from '@lucid-sessions/kit/environment';
import { readSecretFile, withSecretFiles } from '@lucid-sessions/kit/secret-file';
import type { Command } from 'commander';
import { type ConfigFile, withSettings } from '../server/config-values.ts';
import { dataDirectory } from '../server/environment.ts';
import { ApiClient } from './api-client.ts';
import { type Ask, askAtTerminal, askSecretAtTerminal } from './consent.ts';
import { isOver, KeptSignIns } from './kept-sign-ins.ts';
import { CliError, exitCodes, Output } from './output.ts';

interface GlobalOptions {
  json?: boolean;
  dataDir?: string;
  api?: string;
  tokenFile?: string;
  config?: string;
}

export class Cli {
  readonly #program: Command;
  #file: ConfigFile | null = null;
  /** What is wrong with the configuration file: whoever needs a setting is told. */
  #fileProblem: unknown = null;

  constructor(program: Command) {
    this.#program = program;
  }

  output(): Output {
    return new Output(process, this.#options().json === true);
  }

  /** Before a command does its work. Where no file is named nothing is loaded. */
  async readConfig(): Promise<void> {
    const path = this.#options().config ?? process.env.LUCID_CONFIG;
    if (!path) return;
    const { readConfigFile } = await import('../server/config-file.ts');
    try {
      this.#file = readConfigFile(path);
    } catch (error) {
      this.#fileProblem = error;
    }
  }

  /** For `doctor`, which tells of it beside all else. */
  get configFile(): { file: ConfigFile | null; problem: unknown } {
    return { file: this.#file, problem: this.#fileProblem };
  }

  /** The command line's word, then the environment's, then the configuration file's. */
  environment(): Environment {
    if (this.#fileProblem !== null) throw this.#fileProblem;
    return this.environmentAlone();
  }

  /** The same, whatever is wrong with the configuration file. */
  environmentAlone(): Environment {
    return withSecretFiles(withSettings(this.given(), this.#file));
  }

  /** What the process was started with. */
  given(): Environment {
    const { dataDir } = this.#options();
    return dataDir === undefined ? process.env : { ...process.env, LUCID_DATA_DIR: dataDir };
  }

  /** Of the server that is named, that somebody logged in to, or of this machine. */
  api(): ApiClient {
    const { url, token } = this.#server();
    return this.#client(url, token);
  }

  /** Where nobody needs to be known. */
  openApi(): ApiClient {
    return this.#client(this.#server(false).url, '');
  }

  keptSignIns(): KeptSignIns {
    return new KeptSignIns(this.environment());
  }

  /** `--token-file`, as it was given. */
  get tokenFile(): string | undefined {
    return this.#options().tokenFile;
  }

  /** `--api` or LUCID_API_URL. */
  get namedServer(): string | undefined {
    return this.#options().api ?? (this.environment().LUCID_API_URL || undefined);
  }

  #client(url: string, token: string): ApiClient {
    return new ApiClient({
      url,
      token,
      onPause: (seconds) => process.stderr.write(`the API asks for a pause of ${seconds} s …\n`),
    });
  }

  /** A token goes only to the server it was given for. */
  #server(needsToken = true): { url: string; token: string } {
    const environment = this.environment();
    const named = this.namedServer?.replace(/\/+$/, '');
    const own = `http://127.0.0.1:${environment.SESSION_API_PORT || 8087}`;
    const { dataDir } = this.#options();
    const isHere = named === undefined && (dataDir !== undefined || Boolean(environment.LUCID_DATA_DIR));
    const given = this.tokenFile !== undefined || Boolean(environment.LUCID_TOKEN);
    const kept = given || isHere ? null : this.keptSignIns().find(named);
    const url = named ?? kept?.server ?? own;
    if (!needsToken) return { url, token: '' };
    if (kept === null) return { url, token: this.#token(this.tokenFile, environment) };
    if (isOver(kept, Date.now()))
      throw new CliError(`the sign-in ended at ${kept.expires_at}: lucid-sessions login ${url}`, exitCodes.refused);
    return { url, token: kept.token };
  }

  ask(): Ask {
    return askAtTerminal(process);
  }

  /** The same, and what is typed is not shown. */
  askSecret(): Ask {
    return askSecretAtTerminal(process);
  }

  #options(): GlobalOptions {
    return this.#program.opts<GlobalOptions>();
  }

  /** From a file or the environment, never from an argument: arguments are seen by every user of the machine. */
  #token(tokenFile: string | undefined, environment: Environment): string {
    if (tokenFile === undefined && environment.LUCID_TOKEN) return environment.LUCID_TOKEN;
    const path = tokenFile ?? dataDirectory(environment).adminToken;
    try {
      return readSecretFile(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      const mend = 'sign in with "lucid-sessions login URL", or name a token with --token-file or LUCID_TOKEN';
      throw new CliError(`there is no token in ${path}: ${mend}`, exitCodes.refused);
    }
  }
}
