/** `play`: a recording's page in the console, at a moment. The address holds no secret: whoever opens it signs in. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Environment } from '@lucid-sessions/kit/environment';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, type Output } from '../cli/output.ts';
import { parseRecordingTime } from './recording-time.ts';

/** `ID` or `ID@moment`. */
export function parsePlace(text: string): { id: string; timeUs: number | null } {
  const [, id = '', moment] = /^([^@]*)(?:@(.*))?$/.exec(text) ?? [];
  if (id === '') throw new CliError(`"${text}" names no session: write ID or ID@1:23`, exitCodes.usage);
  return { id, timeUs: moment === undefined ? null : parseRecordingTime(moment) };
}

/** What opens an address on this machine; null: nobody would see it. */
export function openerOf(platform: NodeJS.Platform, environment: Environment): readonly [string, ...string[]] | null {
  if (platform === 'darwin') return ['open'];
  if (platform === 'win32') return ['rundll32', 'url.dll,FileProtocolHandler'];
  return environment.DISPLAY || environment.WAYLAND_DISPLAY ? ['xdg-open'] : null;
}

export async function play(
  api: ApiClient,
  output: Output,
  what: string,
  { print = false }: { print?: boolean },
  environment: Environment,
): Promise<void> {
  const { id, timeUs } = parsePlace(what);
  const { session_id, recording_url } = await api.rest.getSession({ params: { session_id: id } });
  const url = new URL(recording_url, api.url);
  if (timeUs !== null) url.hash = `t=${timeUs / 1_000_000}`;
  const opener = print || output.json ? null : openerOf(process.platform, environment);
  const isOpened = opener !== null && (await opens(opener, url.href));
  output.result({ session_id, url: url.href, opened: isOpened }, url.href);
}

async function opens([command, ...args]: readonly [string, ...string[]], url: string): Promise<boolean> {
  const child = spawn(command, [...args, url], { stdio: 'ignore', detached: true });
  try {
    await once(child, 'spawn');
    child.unref();
    return true;
  } catch {
    return false;
  }
}
