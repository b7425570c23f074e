/** What is set of an outside database beside its address. */
import { readFile } from 'node:fs/promises';
import { accessProblem, type Environment, EnvironmentError, readInteger, readText } from '@lucid-sessions/kit';
import { checkFile } from './data-access.ts';

const passwordCharsMax = 1024;

export interface DatabaseOptions {
  caPath: string | null;
  passwordPath: string | null;
  connectionsMax: number;
  waitMs: number;
}

const pathOf = (environment: Environment, variable: string): string | null =>
  readText(environment, variable, '') || null;

export function readDatabaseOptions(environment: Environment): DatabaseOptions {
  const wait = { min: 0, max: 3600, fallback: 60 };
  return {
    caPath: pathOf(environment, 'SESSION_METADATA_DB_CA'),
    passwordPath: pathOf(environment, 'SESSION_METADATA_DB_PASSWORD_FILE'),
    connectionsMax: readInteger(environment, 'LUCID_DATABASE_CONNECTIONS', { min: 1, max: 1000, fallback: 10 }),
    waitMs: readInteger(environment, 'LUCID_DATABASE_WAIT_SECONDS', wait) * 1000,
  };
}

export async function checkDatabaseFiles({ caPath, passwordPath }: DatabaseOptions): Promise<void> {
  if (caPath !== null) await checkReadable('SESSION_METADATA_DB_CA', caPath);
  if (passwordPath !== null) await checkReadable('SESSION_METADATA_DB_PASSWORD_FILE', passwordPath);
}

async function checkReadable(variable: string, path: string): Promise<void> {
  await readFile(path).catch(async (error: unknown) => {
    await checkFile(variable, path);
    throw new EnvironmentError(
      variable,
      `names ${path}, which can't be read: ${accessProblem(error) ?? 'it is no file'}`,
      {
        cause: error,
      },
    );
  });
}

/** Its first line. */
export const passwordIn = async (path: string): Promise<string> =>
  (await readFile(path, 'utf8')).slice(0, passwordCharsMax).replace(/\r?\n[\s\S]*$/, '');
