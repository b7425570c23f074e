/** `verify`: a bundle, offline, against a policy file. No server, no decryption key, no network. */
import { readFile } from 'node:fs/promises';
import { nodeCrypto, nodeDecompressor, openBundle } from '@lucid-sessions/adapters';
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
import { DecodeError } from '@lucid-sessions/wire';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, type Output } from '../cli/output.ts';
import { identityUnwrapper } from './identity-file.ts';
import { sessionPath } from './sessions.ts';

export interface VerifyCommandOptions {
  policy: string;
  /** age identity file: with it the frames themselves are read too. */
  identity?: string;
  /** Asks chains about receipts: the only thing that leaves this machine. */
  checkAnchor?: VerifyOptions['checkAnchor'];
}

/** Answers the exit code: 0 only for a clean bundle, else one per kind of verdict. */
export async function verifyPath(path: string, options: VerifyCommandOptions, output: Output): Promise<number> {
  const policy = await readPolicy(options.policy);
  const unwrap = options.identity === undefined ? null : await identityUnwrapper(options.identity);
  const report = await withBundle(path, (source) =>
    verifyBundle(source, {
      crypto: nodeCrypto,
      policy,
      decompressor: nodeDecompressor,
      ...(unwrap === null ? {} : { unwrap }),
      ...(options.checkAnchor === undefined ? {} : { checkAnchor: options.checkAnchor }),
      progress: (done) => output.progress(`checked ${done} chunks`, done),
    }),
  );
  output.result(report, formatReport(report).trimEnd());
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

async function readPolicy(path: string): Promise<TrustPolicy> {
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

/** `verify <session-id>`: the server checks what it stores, against the keys it trusts. */
export async function verifyOnServer(api: ApiClient, id: string, output: Output): Promise<number> {
  const report = await api.json<VerificationReport>('POST', `${sessionPath(id)}/verify`, {});
  output.result(report, formatReport(report).trimEnd());
  return report.exit_code;
}
