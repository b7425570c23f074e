/** `audit`: the audit log as a file, and whether it, or the one in the store, is what was written. */
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { AuditRow } from '@lucid-sessions/contract';
import {
  AUDIT_ROW_BYTES_MAX,
  type AuditExportEnd,
  type AuditReport,
  auditExitCodes,
  formatAuditReport,
  type GivenAudit,
  type GivenAuditRow,
  parsePolicy,
  readAuditLine,
  type TrustPolicy,
  verifyAudit,
} from '@lucid-sessions/evidence';
import type { Environment } from '@lucid-sessions/kit';
import { makeOwnFolder, nodeCrypto } from '@lucid-sessions/node';
import { type MetadataStore, readMetadataDb } from '@lucid-sessions/storage';
import { DecodeError } from '@lucid-sessions/wire';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, type Output } from '../cli/output.ts';
import { openKeyDirectory } from '../server/embedded-parts.ts';
import { dataDirectory } from '../server/environment.ts';
import { logFiles } from '../server/log-place.ts';
import { storesOf } from '../server/stores.ts';
import { trustPolicy } from '../server/trust-policy.ts';
import { logAt } from './log-source.ts';
import { downloadTo, refuseExisting } from './tar-download.ts';
import { readPolicy } from './verify.ts';

export async function exportAudit(api: ApiClient, out: string, output: Output): Promise<void> {
  const file = resolve(out);
  await refuseExisting(file);
  await makeOwnFolder(dirname(file));
  const partial = `${file}.${randomBytes(4).toString('hex')}.partial`;
  try {
    await downloadTo(partial, await api.rest.exportAudit({}), output);
    await rename(partial, file);
  } finally {
    await rm(partial, { force: true });
  }
  output.result({ file }, `audit log  ${file}`);
}

export interface VerifyAuditGiven {
  policy?: string;
  log?: string;
}

/** Answers the exit code: 0 only where nothing was found. */
export async function verifyAuditFile(path: string, given: VerifyAuditGiven, output: Output): Promise<number> {
  if (given.policy === undefined)
    throw new CliError(
      'a file is checked by --policy: whose log it is (log_keys), and which witnesses',
      exitCodes.usage,
    );
  const policy = await readPolicy(given.policy);
  const file = new AuditFile(path);
  const report = await verifyAudit(file, {
    crypto: nodeCrypto,
    policy,
    ...(given.log === undefined ? {} : { log: logAt(given.log) }),
    progress: (rows) => output.progress(`checked ${rows} rows`, rows),
  });
  return told(file.isWhole ? report : cutOff(report), output);
}

/** What a transfer cut off has no last line: nobody should take it for the whole. */
function cutOff(report: AuditReport): AuditReport {
  const message =
    'the file has not the first and the last line of an export in their places, or other rows than they count: it was cut off, or put together';
  const findings = [{ code: 'FORMAT' as const, message, sequence: null }, ...report.findings];
  return {
    ...report,
    clean: false,
    exit_code: auditExitCodes.FORMAT,
    findings,
    findings_count: report.findings_count + 1,
  };
}

function told(report: AuditReport, output: Output): number {
  output.result(report, formatAuditReport(report));
  return report.exit_code;
}

const lineBytesMax = 3 * AUDIT_ROW_BYTES_MAX;
const lineEnd = 0x0a;

/** Lines end with U+000A alone: a row may hold U+2028, which `node:readline` ends one at. What is no UTF-8 is told as an empty row. */
async function* linesOf(path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const text = (bytes: Uint8Array): string => {
    try {
      return decoder.decode(bytes).replace(/\r$/, '');
    } catch {
      return '';
    }
  };
  let rest: Buffer[] = [];
  let restBytes = 0;
  for await (const part of createReadStream(path) as AsyncIterable<Buffer>)
    for (let from = 0; from < part.length; ) {
      const end = part.indexOf(lineEnd, from);
      const piece = part.subarray(from, end < 0 ? part.length : end);
      from += piece.length + 1;
      rest.push(piece);
      restBytes += piece.length;
      if (restBytes > lineBytesMax)
        throw new CliError(`${path} is no exported audit log: a line of it is too long`, exitCodes.usage);
      if (end < 0) continue;
      yield text(Buffer.concat(rest));
      rest = [];
      restBytes = 0;
    }
  if (restBytes > 0) yield text(Buffer.concat(rest));
}

class AuditFile implements GivenAudit {
  readonly #path: string;
  #unchained: number | null = null;
  #end: AuditExportEnd | null = null;
  #count = 0;
  #isOrdered = true;

  constructor(path: string) {
    this.#path = path;
  }

  get isWhole(): boolean {
    return this.#isOrdered && this.#unchained !== null && this.#end?.rows === this.#count;
  }
  unchained(): number | null {
    return this.#unchained;
  }
  proof(): AuditExportEnd['proof'] {
    return this.#end?.proof ?? null;
  }

  get rows(): AsyncIterable<GivenAuditRow> {
    return this.#read();
  }

  async *#read(): AsyncGenerator<GivenAuditRow> {
    try {
      for await (const text of linesOf(this.#path)) {
        const line = this.#lineOf(text);
        const isFirst = this.#unchained === null && this.#count === 0;
        this.#isOrdered &&= this.#end === null && isFirst === (line.is === 'begin');
        if (line.is === 'begin') this.#unchained = line.begin.unchained;
        else if (line.is === 'end') this.#end = line.end;
        else {
          this.#count += 1;
          yield line;
        }
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') throw new CliError(`there is no ${this.#path}`, exitCodes.usage);
      throw error;
    }
  }

  /** A first or last line that can't be read is told as a row that can't. */
  #lineOf(text: string): ReturnType<typeof readAuditLine> {
    try {
      return readAuditLine(text);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return { is: 'row', text };
    }
  }
}

/** Of this installation, running or not: its database and its log, without a word of its services. */
export async function verifyOwnAudit(
  environment: Environment,
  given: VerifyAuditGiven,
  output: Output,
): Promise<number> {
  const directory = dataDirectory(environment);
  const metadataDb = readMetadataDb({ ...environment, LUCID_DATA_DIR: directory.root });
  const metadata = await storesOf({
    metadataDb,
    directory,
    environment,
    say: (line) => output.progress(line),
  }).metadata();
  const own = given.log === undefined ? await logFiles(environment, directory) : null;
  try {
    const policy = given.policy === undefined ? await ownPolicy(environment) : await readPolicy(given.policy);
    const stored = new StoredAudit(metadata);
    const report = await verifyAudit(stored, {
      crypto: nodeCrypto,
      policy,
      log: given.log === undefined ? own!.read : logAt(given.log),
      progress: (rows) => output.progress(`checked ${rows} rows`, rows),
    });
    return told(report, output);
  } finally {
    await own?.close();
    await metadata.dispose();
  }
}

async function ownPolicy(environment: Environment): Promise<TrustPolicy> {
  const directory = dataDirectory(environment);
  const keys = await openKeyDirectory(directory);
  return parsePolicy(Buffer.from(JSON.stringify(await trustPolicy(keys, environment, directory))));
}

const pageRows = 500;

class StoredAudit implements GivenAudit {
  readonly #metadata: MetadataStore;
  #unchained: number | null = null;

  constructor(metadata: MetadataStore) {
    this.#metadata = metadata;
  }

  unchained(): number | null {
    return this.#unchained;
  }
  proof(): null {
    return null;
  }

  get rows(): AsyncIterable<GivenAuditRow> {
    return this.#read();
  }

  async *#read(): AsyncGenerator<GivenAuditRow> {
    for (let from = 0; ; ) {
      const rows = await this.#metadata.listAuditRows({ from, limit: pageRows });
      for (const { text, ...filedAs } of rows satisfies AuditRow[]) yield { text, filedAs };
      if (rows.length < pageRows) break;
      from = rows.at(-1)!.sequence + 1;
    }
    this.#unchained = await this.#metadata.countUnchained();
  }
}
