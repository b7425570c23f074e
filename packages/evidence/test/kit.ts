/** The kit of test bundles (`kit/`): what the tests of the verifier try, written out for whoever writes another one. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, type TestContext } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { nodeCrypto } from '@lucid-sessions/node';
import { portableDecompressor } from '@lucid-sessions/recording';
import {
  type BundleSource,
  type CheckId,
  type FindingCode,
  memoryBundle,
  openTar,
  parsePolicy,
  tarStream,
  toHex,
  utf8,
  type VerificationReport,
  type VerifyOptions,
  verifyBundle,
} from '../src/index.ts';
import { logFilesOf, logOf, policyTextOf, options as usualOptions } from './recording-fixture.ts';

/** `NAME.json` beside `NAME.tar.gz`. */
interface KitCase {
  about: string;
  policy: object;
  /** Chunks are opened as far as that goes without a key, or with this one. */
  frames: boolean;
  /** Hex. */
  key: string | null;
  /** The whole log, its files in base64 by their paths. */
  log: Record<string, string> | null;
  expected: {
    clean: boolean;
    exit_code: number;
    verdicts: VerificationReport['verdicts'];
    findings: { code: FindingCode; check: CheckId; file: string | null; index: number | null }[];
    states: string[];
  };
}

const directory = join(import.meta.dirname, '..', 'kit');
const isWriting = process.env.UPDATE_KIT !== undefined;

export const expectedOf = (report: VerificationReport): KitCase['expected'] => ({
  clean: report.clean,
  exit_code: report.exit_code,
  verdicts: report.verdicts,
  findings: report.findings.map(({ code, check, file, index }) => ({ code, check, file, index })),
  states: report.states,
});

/** Takes part in the kit while `UPDATE_KIT` is set; what a caller's own functions decide can't be written down. */
async function keepForKit(
  section: string,
  about: string,
  files: ReadonlyMap<string, Uint8Array>,
  how: VerifyOptions,
  report: VerificationReport,
): Promise<void> {
  const policy = policyTextOf(how.policy);
  const isOwn = how.checkAnchor !== undefined || how.unwrap !== undefined || how.replay !== undefined;
  // What is tried again to tell it apart is there already.
  if (!isWriting || policy === undefined || isOwn || report.findings_count > 100 || section === 'tampering') return;
  mkdirSync(directory, { recursive: true });
  const slug = `${section} ${about}`
    .toLowerCase()
    .replaceAll('’', '')
    .replace(/[^a-z0-9]+/g, '-');
  const stem = slug.slice(0, 70).replace(/-$/, '');
  const taken = readdirSync(directory).filter((name) => name.startsWith(stem) && name.endsWith('.json')).length;
  const name = taken === 0 ? stem : `${stem}-${taken + 1}`;
  const parts: Uint8Array[] = [];
  for await (const part of tarStream([...files].map(([file, content]) => ({ name: file, content })))) parts.push(part);
  writeFileSync(join(directory, `${name}.tar.gz`), gzipSync(Buffer.concat(parts), { level: 9 }));
  const log = how.log === undefined ? undefined : logFilesOf(how.log);
  const made: KitCase = {
    about: `${section}: ${about}`,
    policy,
    frames: how.decompressor !== undefined,
    key: how.dek instanceof Uint8Array ? toHex(how.dek) : null,
    log:
      log === undefined
        ? null
        : Object.fromEntries([...log].map(([path, b]) => [path, Buffer.from(b).toString('base64')])),
    expected: expectedOf(report),
  };
  writeFileSync(join(directory, `${name}.json`), `${JSON.stringify(made, null, 1)}\n`);
}

/** `verifyBundle` for the tests of a file, which all go into the kit under their names. */
export function keptVerify(): (
  files: ReadonlyMap<string, Uint8Array>,
  how?: VerifyOptions,
) => Promise<VerificationReport> {
  let section = '';
  let about = '';
  beforeEach((context) => {
    const [part = '', ...rest] = (context as TestContext).fullName.split(' > ').slice(-2);
    section = part;
    about = rest.join(' ');
  });
  return async (files, how = usualOptions) => {
    const report = await verifyBundle(memoryBundle(files), how);
    await keepForKit(section, about, files, how, report);
    return report;
  };
}

export const kitNames = (): string[] =>
  readdirSync(directory)
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -'.json'.length));

export async function readKit(
  name: string,
): Promise<{ source: BundleSource; options: VerifyOptions; policy: object; expected: KitCase['expected'] }> {
  const { policy, frames, key, log, expected } = JSON.parse(
    readFileSync(join(directory, `${name}.json`), 'utf8'),
  ) as KitCase;
  const tar = new Uint8Array(gunzipSync(readFileSync(join(directory, `${name}.tar.gz`))));
  const source = await openTar({ length: tar.length, read: (offset, length) => tar.subarray(offset, offset + length) });
  const files = new Map(
    Object.entries(log ?? {}).map(([path, text]) => [path, new Uint8Array(Buffer.from(text, 'base64'))]),
  );
  const options: VerifyOptions = {
    crypto: nodeCrypto,
    policy: parsePolicy(utf8(JSON.stringify(policy))),
    ...(frames ? { decompressor: portableDecompressor } : {}),
    ...(key === null ? {} : { dek: new Uint8Array(Buffer.from(key, 'hex')) }),
    ...(log === null ? {} : { log: logOf(files) }),
  };
  return { source, options, policy, expected };
}
