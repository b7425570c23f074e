/** Settings of a configuration file as a part of the environment. */
import type { Environment } from '@lucid-sessions/kit/environment';

export interface Setting {
  name: string;
  value: string;
  /** Path and line. */
  from: string;
}

export interface ConfigFile {
  path: string;
  settings: Setting[];
}

/** A secret is said once: as itself or as the file that holds it. */
const otherForm = (name: string): string => (name.endsWith('_FILE') ? name.slice(0, -'_FILE'.length) : `${name}_FILE`);

/** Settings that nothing in `environment` goes before. */
export const settingsInForce = (environment: Environment, file: ConfigFile | null): Setting[] =>
  (file?.settings ?? []).filter(({ name }) => !environment[name] && !environment[otherForm(name)]);

export const withSettings = (environment: Environment, file: ConfigFile | null): Environment => ({
  ...environment,
  ...Object.fromEntries(settingsInForce(environment, file).map(({ name, value }) => [name, value])),
});
