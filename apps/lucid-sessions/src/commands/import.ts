/** `import`: RDP connections of a capture as recordings of an installation, as a redacted report or as an .rdpcap file. */
import { writeFile } from 'node:fs/promises';
import { ownFileMode } from '@lucid-sessions/node';
import { type CaptureRecord, encodeCapture } from '@lucid-sessions/recording';
import { type CaptureSource, readCaptureSource, unknownEnd } from '../capture/capture-source.ts';
import type { RdpConnection, RdpFindings } from '../capture/rdp-connections.ts';
import { redactedReport } from '../capture/redacted-report.ts';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, type Output } from '../cli/output.ts';
import { software } from '../server/software.ts';
import { type ImportLabels, sendCapture } from './import-sessions.ts';
import { writeNewFile } from './new-file.ts';
import type { SessionAnswer } from './sessions.ts';

export interface ImportOptions extends ImportLabels {
  /** Key logs or PEM files with RSA private keys. */
  keylog: string[];
  /** Which of several, from 1. */
  connection?: number;
  list?: boolean;
  rdpcap?: string;
  redact?: string;
}

export interface ImportedConnection {
  number: number;
  client: string;
  server: string;
  tls: string | null;
  /** Null where the file does not say. */
  from: string | null;
  seconds: number;
  client_bytes: number;
  server_bytes: number;
  problem: string | null;
}

const tlsNames: Record<number, string> = { 769: 'TLS 1.0', 770: 'TLS 1.1', 771: 'TLS 1.2', 772: 'TLS 1.3' };
const provesNothing =
  'Imported recordings prove nothing about what they show or when it happened: who holds a capture can change it.';

/** Answers the exit code: 1 when a recording did not become whole. */
export async function importCapture(
  output: Output,
  path: string,
  options: ImportOptions,
  api: () => ApiClient,
): Promise<number> {
  const source = await readCaptureSource(path, options.keylog);
  if (source.connections.length === 0) throw new CliError(`${path} holds no RDP connection from its beginning on`);
  const writesFiles = options.rdpcap !== undefined || options.redact !== undefined;
  if (writesFiles) {
    const connection = chosen(source, options.connection);
    if (options.rdpcap !== undefined) await writeRdpcap(options.rdpcap, connection);
    if (options.redact !== undefined) await writeReport(options.redact, connection, source);
  }
  if (!writesFiles && options.list !== true) return importAll(output, path, options, source, api());
  const connections = source.connections.map(described);
  output.result(
    { connections, skipped: source.skipped },
    [...connections.map(lineOf), ...skippedLines(source)].join('\n'),
  );
  return exitCodes.ok;
}

/** Every connection that went beyond its negotiation becomes a recording of its own. */
async function importAll(
  output: Output,
  path: string,
  options: ImportOptions,
  source: CaptureSource,
  api: ApiClient,
): Promise<number> {
  const wanted = options.connection === undefined ? filled(source) : [chosen(source, options.connection)];
  if (wanted.length === 0) throw new CliError(source.connections[0]?.problem ?? nothingFilled);
  const { name, project, environment, retention } = options;
  const labels = Object.fromEntries(
    Object.entries({ name, project, environment, retention }).filter(([, value]) => value !== undefined),
  );
  const imported: (ImportedConnection & { session: SessionAnswer })[] = [];
  for (const connection of wanted) {
    const about = described(connection, source.connections.indexOf(connection));
    const { number } = about;
    const capture = captureOf(connection);
    const session = await sendCapture(
      api,
      output,
      { number, of: source.connections.length, capture },
      { path, sha256: source.sha256, ...labels },
    );
    imported.push({ ...about, session });
  }
  const lines = imported.flatMap(({ session, ...about }) => [
    lineOf(about),
    `   session ${session.session_id} ${session.status}: ${session.end_message ?? 'not finished yet'}`,
  ]);
  const left = source.connections.length - wanted.length;
  if (left > 0)
    lines.push(`not imported: ${left} × connections that did not go beyond their negotiation, or not asked for`);
  output.result({ imported, skipped: source.skipped }, [...lines, ...skippedLines(source), provesNothing].join('\n'));
  return imported.every(({ session }) => session.status === 'completed') ? exitCodes.ok : exitCodes.failed;
}

const nothingFilled = 'no connection went beyond its negotiation';

const filled = ({ connections }: RdpFindings): RdpConnection[] =>
  connections.filter(({ pieces }) => pieces.some(({ beforeTls }) => !beforeTls));

const lineOf = ({ number, client, server, tls, seconds, problem }: ImportedConnection): string =>
  `${number}  ${client} → ${server}  ${tls ?? 'TLS not known'}  ${seconds.toFixed(1)} s${problem === null ? '' : `  (${problem})`}`;

const skippedLines = ({ skipped }: RdpFindings): string[] =>
  Object.entries(skipped).map(([what, count]) => `not read: ${count} × ${what}`);

/** The one asked for; else the only one that holds more than its hellos. */
function chosen(findings: RdpFindings, number: number | undefined): RdpConnection {
  const { connections } = findings;
  if (number !== undefined) {
    const connection = connections[number - 1];
    if (connection !== undefined) return connection;
    throw new CliError(`there is no connection ${number}; there are ${connections.length}`, exitCodes.usage);
  }
  const candidates = filled(findings);
  if (candidates.length === 1) return candidates[0] as RdpConnection;
  if (candidates.length === 0) throw new CliError(connections[0]?.problem ?? nothingFilled);
  throw new CliError(`there are ${candidates.length} connections: choose one with --connection`, exitCodes.usage);
}

function described({ client, server, tlsVersion, pieces, problem }: RdpConnection, index: number): ImportedConnection {
  const bytes = (fromServer: boolean): number =>
    pieces.reduce((sum, piece) => sum + (piece.fromServer === fromServer ? piece.bytes.length : 0), 0);
  const firstUs = pieces[0]?.timeUs ?? 0;
  return {
    number: index + 1,
    client,
    server,
    tls: tlsNames[tlsVersion] ?? null,
    from: firstUs > 0 ? new Date(firstUs / 1000).toISOString() : null,
    seconds: ((pieces.at(-1)?.timeUs ?? firstUs) - firstUs) / 1e6,
    client_bytes: bytes(false),
    server_bytes: bytes(true),
    problem,
  };
}

/** Times never go back, whatever clocks captured them. */
function recordsOf({ pieces }: RdpConnection): CaptureRecord[] {
  const firstUs = pieces[0]?.timeUs ?? 0;
  let timeMs = 0;
  return pieces.map(({ fromServer, beforeTls, timeUs, bytes }) => {
    timeMs = Math.max(timeMs, Math.round((timeUs - firstUs) / 1000));
    return { fromServer, beforeTls, timeMs, bytes };
  });
}

function captureOf(connection: RdpConnection): Uint8Array {
  const { number: _, client, server, ...meta } = described(connection, 0);
  // Of a file that did not say who talked to whom.
  const ends = Object.fromEntries(Object.entries({ client, server }).filter(([, name]) => name !== unknownEnd));
  const about = { ...meta, ...ends, imported_by: software.version };
  return encodeCapture({ meta: about, records: recordsOf(connection) });
}

const writeRdpcap = (path: string, connection: RdpConnection): Promise<void> =>
  writeNewFile(path, (partial) => writeFile(partial, captureOf(connection), { mode: ownFileMode }));

async function writeReport(path: string, connection: RdpConnection, { skipped }: RdpFindings): Promise<void> {
  const report = { ...redactedReport(connection), not_read: skipped };
  await writeNewFile(path, (partial) =>
    writeFile(partial, `${JSON.stringify(report, null, 2)}\n`, { mode: ownFileMode }),
  );
}
