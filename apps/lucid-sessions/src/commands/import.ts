/** `import`: RDP connections out of a packet capture, decrypted. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { ownFileMode } from '@lucid-sessions/adapters';
import { type CaptureRecord, encodeCapture } from '@lucid-sessions/recording';
import { CaptureError, readPacketFile } from '../capture/packet-file.ts';
import { type RdpConnection, type RdpFindings, rdpConnectionsOf } from '../capture/rdp-connections.ts';
import { redactedReport } from '../capture/redacted-report.ts';
import { addSecrets, noSecrets } from '../capture/tls-keys.ts';
import { CliError, exitCodes, type Output } from '../cli/output.ts';
import { software } from '../server/software.ts';
import { writeNewFile } from './new-file.ts';

export interface ImportOptions {
  /** Key logs or PEM files with RSA private keys. */
  keylog: string[];
  /** Which of several, from 1. */
  connection?: number;
  rdpcap?: string;
  redact?: string;
}

export interface ImportedConnection {
  number: number;
  client: string;
  server: string;
  tls: string | null;
  from: string;
  seconds: number;
  client_bytes: number;
  server_bytes: number;
  problem: string | null;
}

const fileBytesMax = 2 ** 31 - 1;
const tlsNames: Record<number, string> = { 769: 'TLS 1.0', 770: 'TLS 1.1', 771: 'TLS 1.2', 772: 'TLS 1.3' };

export async function importCapture(output: Output, path: string, options: ImportOptions): Promise<void> {
  const findings = await readConnections(path, options.keylog);
  const connections = findings.connections.map(described);
  if (connections.length === 0) throw new CliError(`${path} holds no RDP connection from its beginning on`);
  if (options.rdpcap !== undefined || options.redact !== undefined) {
    const connection = chosen(findings, options.connection);
    if (options.rdpcap !== undefined) await writeRdpcap(options.rdpcap, connection);
    if (options.redact !== undefined) await writeReport(options.redact, connection, findings);
  }
  const lines = connections.map(
    ({ number, client, server, tls, seconds, problem }) =>
      `${number}  ${client} → ${server}  ${tls ?? 'no TLS'}  ${seconds.toFixed(1)} s${problem === null ? '' : `  (${problem})`}`,
  );
  for (const [what, count] of Object.entries(findings.skipped)) lines.push(`not read: ${count} × ${what}`);
  output.result({ connections, skipped: findings.skipped }, lines.join('\n'));
}

async function readConnections(path: string, keylogs: readonly string[]): Promise<RdpFindings> {
  const { size } = await stat(path);
  if (size > fileBytesMax)
    throw new CliError(`${path} is larger than ${fileBytesMax} bytes: cut it with editcap first`);
  try {
    const file = readPacketFile(await readFile(path));
    const secrets = noSecrets();
    for (const text of [file.keyLog, ...(await Promise.all(keylogs.map((each) => readFile(each, 'utf8'))))])
      addSecrets(secrets, text);
    return rdpConnectionsOf(file, secrets);
  } catch (error) {
    if (error instanceof CaptureError) throw new CliError(`${path}: ${error.message}`);
    throw error;
  }
}

/** The one asked for; else the only one that holds more than its hellos. */
function chosen({ connections }: RdpFindings, number: number | undefined): RdpConnection {
  if (number !== undefined) {
    const connection = connections[number - 1];
    if (connection !== undefined) return connection;
    throw new CliError(`there is no connection ${number}; there are ${connections.length}`, exitCodes.usage);
  }
  const filled = connections.filter(({ pieces }) => pieces.some(({ beforeTls }) => !beforeTls));
  if (filled.length === 1) return filled[0] as RdpConnection;
  if (filled.length === 0) throw new CliError(connections[0]?.problem ?? 'no connection went beyond its negotiation');
  throw new CliError(`there are ${filled.length} connections: choose one with --connection`, exitCodes.usage);
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
    from: new Date(firstUs / 1000).toISOString(),
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

async function writeRdpcap(path: string, connection: RdpConnection): Promise<void> {
  const { number: _, ...meta } = described(connection, 0);
  const capture = encodeCapture({ meta: { ...meta, imported_by: software.version }, records: recordsOf(connection) });
  await writeNewFile(path, (partial) => writeFile(partial, capture, { mode: ownFileMode }));
}

async function writeReport(path: string, connection: RdpConnection, { skipped }: RdpFindings): Promise<void> {
  const report = { ...redactedReport(connection), not_read: skipped };
  await writeNewFile(path, (partial) =>
    writeFile(partial, `${JSON.stringify(report, null, 2)}\n`, { mode: ownFileMode }),
  );
}
