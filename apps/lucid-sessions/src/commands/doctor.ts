/** `doctor` and `config print`: what is set, what is wrong with it, and what to do. Nothing is made or changed. */
import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { OidcProvider, readSignInBy, redirectUriOf } from '@lucid-sessions/api';
import { basePath, mebibytesText, restOperations, spaceBounds } from '@lucid-sessions/contract';
import {
  type Environment,
  knownVariables,
  masker,
  readRdpCertificate,
  secretValues,
  secretVariables,
  unknownVariables,
  variableWarnings,
} from '@lucid-sessions/kit';
import { h264Missing, ownH264Decoder } from '@lucid-sessions/node';
import { type Colours, exitCodes, type Output, table } from '../cli/output.ts';
import { systemText } from '../cli/system-text.ts';
import { type ConfigFile, settingsInForce } from '../server/config-values.ts';
import { type DataDirectory, dataDirectory, type ServiceName } from '../server/environment.ts';
import { checkPorts } from '../server/ports.ts';
import { preflightSteps, startProblem } from '../server/preflight.ts';

type Verdict = 'ok' | 'look' | 'wrong';

/** `told`: what was found, with what to do where there is something. */
export interface Finding {
  what: string;
  verdict: Verdict;
  told: string;
}

const verdictColours: Colours = { ok: 'green', look: 'yellow', wrong: 'red' };

const day = 86_400_000;
const certificateDays = 14;

interface ConfigFacts {
  file: ConfigFile | null;
  problem: unknown;
}

function configFindings({ file, problem }: ConfigFacts): Finding[] {
  const what = 'configuration';
  if (problem !== null) return [{ what, verdict: 'wrong', told: (problem as Error).message }];
  return file === null ? [] : [{ what, verdict: 'ok', told: `${file.settings.length} settings in ${file.path}` }];
}

/** 0 where nothing is wrong, else 1. */
export async function doctor(
  environment: Environment,
  output: Output,
  services: readonly ServiceName[],
  config: ConfigFacts = { file: null, problem: null },
): Promise<number> {
  const mask = masker(secretValues(environment));
  const found = [...configFindings(config), ...(await examine(environment, new Set(services)))];
  const findings = found.map((finding) => ({ ...finding, told: mask(finding.told) }));
  const rows = findings.map(({ what, verdict, told }) => [verdict, what, told]);
  const isWell = findings.every(({ verdict }) => verdict !== 'wrong');
  output.result({ well: isWell, findings }, table(['VERDICT', 'WHAT', 'FOUND'], rows), verdictColours);
  return isWell ? exitCodes.ok : exitCodes.failed;
}

async function examine(environment: Environment, services: ReadonlySet<ServiceName>): Promise<Finding[]> {
  const directory = dataDirectory(environment);
  const { steps, doors } = preflightSteps({ environment, services });
  const findings: Finding[] = variableWarnings(environment).map((told) => ({
    what: 'variables',
    verdict: 'look',
    told,
  }));
  const wrong = (thrown: unknown): string => {
    const problem = startProblem(thrown, directory, doors) as NodeJS.ErrnoException;
    return typeof problem.code === 'string' ? systemText(problem) : problem.message;
  };
  for (const { what, check } of steps)
    try {
      await check();
      findings.push({ what, verdict: 'ok', told: '' });
    } catch (thrown) {
      findings.push({ what, verdict: 'wrong', told: wrong(thrown) });
    }
  findings.push(await ports(doors, wrong));
  findings.push(...certificates(environment, directory), await space(directory));
  if (services.has('api')) findings.push(...(await identityProviders(environment)));
  if (services.has('processor') || services.has('api')) findings.push(await decoder());
  return findings;
}

/** A port that is taken is well where a service of ours answers there. */
async function ports(doors: Parameters<typeof checkPorts>[0], wrong: (thrown: unknown) => string): Promise<Finding> {
  const what = 'ports';
  try {
    await checkPorts(doors);
    return { what, verdict: 'ok', told: doors.length === 0 ? 'none known: the settings are wrong' : 'free' };
  } catch (thrown) {
    const own = await Promise.all(doors.map(({ host, port }) => isOurs(host, port)));
    if (own.some(Boolean)) return { what, verdict: 'ok', told: 'in use by services of this product, which answer' };
    return { what, verdict: 'wrong', told: wrong(thrown) };
  }
}

async function isOurs(host: string, port: number): Promise<boolean> {
  const address = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host;
  try {
    const answer = await fetch(`http://${address}:${port}/readyz`, { signal: AbortSignal.timeout(2000) });
    return typeof ((await answer.json()) as { service?: unknown }).service === 'string';
  } catch {
    return false;
  }
}

function certificates(environment: Environment, { keys }: DataDirectory): Finding[] {
  const own = join(keys, 'rdp.crt');
  const paths: [string, string][] = [
    ['certificate of the RDP door', readRdpCertificate(environment)?.certificatePath ?? (existsSync(own) ? own : '')],
    ['certificate of the API', environment.LUCID_API_TLS_CERT ?? ''],
    ['certificate of the services', environment.LUCID_SERVICE_TLS_CERT ?? ''],
  ];
  return paths.filter(([, path]) => path !== '').map(([what, path]) => certificate(what, path));
}

function certificate(what: string, path: string): Finding {
  try {
    const { validToDate } = new X509Certificate(readFileSync(path));
    const days = Math.floor((validToDate.getTime() - Date.now()) / day);
    const until = `${path} is good until ${validToDate.toISOString().slice(0, 10)}`;
    if (days < 0)
      return { what, verdict: 'wrong', told: `${path} expired on ${validToDate.toISOString().slice(0, 10)}: renew it` };
    return days < certificateDays
      ? { what, verdict: 'look', told: `${until}, ${days} days from now: renew it` }
      : { what, verdict: 'ok', told: until };
  } catch (error) {
    return { what, verdict: 'wrong', told: `${path} can't be read: ${(error as Error).message}` };
  }
}

async function space({ root }: DataDirectory): Promise<Finding> {
  const what = 'room';
  let at = root;
  while (!existsSync(at) && at !== dirname(at)) at = dirname(at);
  const { bavail, blocks, bsize } = await statfs(at);
  const { alarmBytesMin, recordingBytesMin } = spaceBounds(blocks * bsize);
  const free = `${mebibytesText(bavail * bsize)} are free on the disk of ${root}`;
  if (bavail * bsize < recordingBytesMin)
    return {
      what,
      verdict: 'wrong',
      told: `${free}, less than the ${mebibytesText(recordingBytesMin)} that recording needs: make room`,
    };
  return bavail * bsize < alarmBytesMin
    ? { what, verdict: 'look', told: `${free}: recording ends at ${mebibytesText(recordingBytesMin)}` }
    : { what, verdict: 'ok', told: free };
}

async function decoder(): Promise<Finding> {
  const choice = await ownH264Decoder();
  return choice === null
    ? { what: 'H.264', verdict: 'look', told: h264Missing().message }
    : { what: 'H.264', verdict: 'ok', told: `decoded by ${choice.name}` };
}

/** Whether people can sign in by their providers, and what those have to know of this installation. */
async function identityProviders(environment: Environment): Promise<Finding[]> {
  const publicUrl = environment.LUCID_PUBLIC_URL ?? '';
  let providers: ReturnType<typeof readSignInBy>['providers'];
  try {
    ({ providers } = readSignInBy(environment, publicUrl));
  } catch {
    // The settings say so.
    return [];
  }
  return Promise.all(
    providers.map(async (config) => {
      const what = `sign-in by ${config.name}`;
      const redirectUri = redirectUriOf(publicUrl, config.id);
      const logout = new URL(basePath + restOperations.endOidc.path.replace('{provider_id}', config.id), publicUrl)
        .href;
      const isPlain = [config.issuer, publicUrl].some((address) => address.startsWith('http:'));
      try {
        const { isKnown, endsSessions } = await new OidcProvider(config, redirectUri).check();
        if (isKnown === false)
          return {
            what,
            verdict: 'wrong',
            told: `${config.issuer} does not take the client ${config.clientId} with the redirect URI ${redirectUri}: register it there`,
          };
        const rest = `redirect URI ${redirectUri}, back-channel logout ${logout}${endsSessions ? `, after signing out ${new URL('/', publicUrl).href}` : ''}`;
        if (isKnown === null)
          return { what, verdict: 'look', told: `${config.issuer} does not say whether it knows ${rest}` };
        return isPlain
          ? { what, verdict: 'look', told: `http:// is for trying things out on this machine; ${rest}` }
          : { what, verdict: 'ok', told: rest };
      } catch (error) {
        return { what, verdict: 'wrong', told: (error as Error).message };
      }
    }),
  );
}

/** `read`: with what the files of secrets hold; `given`: as the process was started, `file` beside it. */
export function printConfig(read: Environment, given: Environment, file: ConfigFile | null, output: Output): void {
  const mask = masker(secretValues(read));
  const secret: ReadonlySet<string> = new Set(secretVariables);
  const inFile = new Map(settingsInForce(given, file).map((setting) => [setting.name, setting]));
  const sourceOf = (name: string): string => {
    if (name === 'LUCID_DATA_DIR' && given[name] !== process.env[name]) return 'command line';
    if (given[name]) return 'environment';
    const path = given[`${name}_FILE`] ?? inFile.get(`${name}_FILE`)?.value;
    return inFile.get(name)?.from ?? `file ${path}`;
  };
  const settings = Object.entries(read)
    .filter(([name, value]) => knownVariables.has(name) && value !== undefined && value !== '')
    .map(([name, value = '']) => ({
      name,
      value: secret.has(name) && !/_(?:URL|DB)$/.test(name) ? '[secret]' : mask(value),
      source: sourceOf(name),
    }))
    .sort((one, other) => (one.name < other.name ? -1 : 1));
  const unread = unknownVariables(given);
  const lines = [
    table(
      ['VARIABLE', 'VALUE', 'FROM'],
      settings.map(({ name, value, source }) => [name, value, source]),
    ),
    ...variableWarnings(given),
    'all others are what docs/operations.md says they are without being set',
  ];
  output.result({ settings, unread }, lines.join('\n'));
}
