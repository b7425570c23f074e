/** Which of the services a command is about. */
import { type Environment, readText } from '@lucid-sessions/kit/environment';
import { type ServiceName, serviceNames } from '../server/environment.ts';
import { CliError, exitCodes } from './output.ts';

export const servicesHelp = `comma-separated: ${serviceNames.join(', ')} (LUCID_SERVICES, all)`;

/** What the command line says, else LUCID_SERVICES, else all. */
export function readServices(environment: Environment, given?: string): ServiceName[] {
  const names = (given ?? readText(environment, 'LUCID_SERVICES', serviceNames.join(',')))
    .split(',')
    .map((name) => name.trim());
  const unknown = names.filter((name) => !serviceNames.includes(name as ServiceName));
  if (unknown.length > 0)
    throw new CliError(
      `unknown service ${unknown.join(', ')}: choose from ${serviceNames.join(', ')}`,
      exitCodes.usage,
    );
  return [...new Set(names as ServiceName[])];
}
