/** `verify`: a bundle, offline, against a policy file. No server, no decryption key, no network. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BundleSource,
  formatReport,
  parsePolicy,
  type TrustPolicy,
  unreadableBundle,
  type VerificationReport,
  type VerifyOptions,
  verifyBundle,
} from '@lucid-sessions/evidence';
import { openBundle } from '@lucid-sessions/files';
import { createH264Decoder, nodeDecompressor, threadedCrypto } from '@lucid-sessions/node';
import { ReplayWalk } from '@lucid-sessions/recording/replay';
import { DecodeError } from '@lucid-sessions/wire';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, type Output } from '../cli/output.ts';
import { identityUnwrapper } from './identity-file.ts';
import { logAt } from './log-source.ts';

export interface VerifyCommandOptions {
  policy: string;
  /** age identity file: with it the frames themselves are read too. */
  identity?: string;
  /** The log's directory or address: the bundle is compared with all that was logged. */
  log?: string;
  /** Draws the recording itself, and compares with its replay record. */
  replay?: boolean;
  /** Asks chains about receipts: the only thing that leaves this machine. */
  checkAnchor?: VerifyOptions['checkAnchor'];
}

/** Answers the exit code: 0 only for a clean bundle, else one per kind of verdict. */
export async function verifyPath(path: string, options: VerifyCommandOptions, output: Output): Promise<number> {
  const policy = await readPolicy(options.policy);
  const unwrap = options.identity === undefined ? null : await identityUnwrapper(options.identity);
  const log = options.log === undefined ? null : logAt(options.log);
  const walk = options.replay === true ? new ReplayWalk(() => createH264Decoder()) : null;
  const report = await withBundle(path, (source) =>
    verifyBundle(source, {
      crypto: threadedCrypto,
      policy,
      decompressor: nodeDecompressor,
      ...(unwrap === null ? {} : { unwrap }),
      ...(log === null ? {} : { log }),
      ...(options.checkAnchor === undefined ? {} : { checkAnchor: options.checkAnchor }),
      ...(walk === null ? {} : { replay: walk }),
      progress: (done) => output.progress(`checked ${done} chunks`, done),
    }),
  ).finally(() => walk?.close());
  output.result(report, formatReport(report).trimEnd(), { CLEAN: 'green', 'NOT CLEAN': 'red' });
  if (walk !== null && report.facts.replay?.remade !== true)
    throw new CliError(
      'the recording was not walked through: --replay takes a whole bundle and the --identity that opens it',
      exitCodes.usage,
    );
  return report.exit_code;
}

async function withBundle(
  path: string,
  verify: (source: BundleSource) => Promise<VerificationReport>,
): Promise<VerificationReport> {
  try {
    const bundle = await openBundle(path);
    try {
      return await verify(bundle.source);
    } finally {
      await bundle.close();
    }
  } catch (error) {
    if (error instanceof DecodeError) return unreadableBundle(error);
    throw asReadError(path, error);
  }
}

export async function readPolicy(path: string): Promise<TrustPolicy> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw asReadError(path, error);
  }
  try {
    return parsePolicy(bytes);
  } catch (error) {
    if (error instanceof DecodeError) throw new CliError(`${path} is no policy: ${error.message}`, exitCodes.usage);
    throw error;
  }
}

function asReadError(path: string, error: unknown): CliError {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return new CliError(`there is no ${path}`, exitCodes.usage);
  return new CliError(`${path} can't be read: ${error instanceof Error ? error.message : String(error)}`);
}

/** `verify <session-id>` speaks to a server, and needs a policy for a bundle: what is a path is no id. */
export function refusePath(what: string): void {
  if (existsSync(what))
    throw new CliError(
      `${what} lies on this disk: to check a bundle name whom you trust with --policy (export wrote such a file beside it)`,
      exitCodes.usage,
    );
  if (/[/\\.]/.test(what)) throw new CliError(`there is no ${what}`, exitCodes.usage);
}

/** The contract names the fields everybody reads; the rest of the report is the verifier's own. */
export const serverReport = async (api: ApiClient, id: string): Promise<VerificationReport> =>
  (await api.rest.verifySession({ params: { session_id: id } })) as unknown as VerificationReport;

/** The server checks what it stores, against the keys it trusts. */
export async function verifyOnServer(api: ApiClient, id: string, output: Output, replay = false): Promise<number> {
  if (replay) await examineOnServer(api, id, output);
  const report = await serverReport(api, id);
  output.result(report, formatReport(report).trimEnd());
  return report.exit_code;
}

const askAgainMs = 1000;
/** Its record is signed a moment behind its end. */
const signedWithinMs = 30_000;

/** Has the server walk through the recording, and waits for that. */
async function examineOnServer(api: ApiClient, id: string, output: Output): Promise<void> {
  const params = { session_id: id };
  const before = await api.rest.examineReplay({ params });
  for (let endedMs: number | null = null; ; await sleep(askAgainMs)) {
    const { examined_at: at, walking, walked_chunks: walked, chunks } = await api.rest.getReplay({ params });
    output.progress(`walked through ${walked} of ${chunks} chunks`, walked);
    if (walking) continue;
    endedMs ??= performance.now();
    if (at !== null && (before.examined_at === null || walked === chunks)) return;
    if (performance.now() - endedMs > signedWithinMs) return;
  }
}
