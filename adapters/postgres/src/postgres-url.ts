/** `postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?sslmode=…&schema=…`, read without ever quoting its password. */
import { isIP } from 'node:net';
import { type ConnectionOptions, checkServerIdentity } from 'node:tls';
import { LucidError } from '@lucid-sessions/contract';

export const sslModes = ['disable', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof sslModes)[number];

export interface PostgresHost {
  /** A name, an IP address, or the directory of a Unix socket. */
  host: string;
  port: number;
}

export interface PostgresAddress {
  /** At least one; of several the one that takes writes is used. */
  hosts: readonly [PostgresHost, ...PostgresHost[]];
  user: string;
  password: string | null;
  database: string;
  /** Where the tables are; null: where the role's own search path leads. */
  schema: string | null;
  sslMode: SslMode;
}

const hostsMax = 16;
const defaultPort = 5432;
const shape =
  /^postgres(?:ql)?:\/\/(?:(?<user>[^:@/?]*)(?::(?<password>[^@/?]*))?@)?(?<hosts>[^/?@]*)(?:\/(?<database>[^?/]*))?(?:\?(?<query>.*))?$/;

const invalid = (what: string) => new LucidError('invalidRequest', what);

/** Throws LucidError `invalidRequest`; nothing of the address is in its message but names of parameters. */
export function parsePostgresUrl(text: string): PostgresAddress {
  const groups = shape.exec(text)?.groups;
  if (groups === undefined)
    throw invalid('must be postgres://USER:PASSWORD@HOST:PORT/DATABASE, with %-codes where a part holds : / ? @ or %');
  const query = new URLSearchParams(groups.query ?? '');
  for (const name of query.keys())
    if (!['sslmode', 'schema', 'host'].includes(name))
      throw invalid(
        `takes sslmode, schema and host behind the question mark${isPlain(name, groups.query) ? `, not ${name}` : ''}`,
      );
  const hosts = hostsOf(query.get('host') ?? decoded(groups.hosts ?? ''));
  const database = decoded(groups.database ?? '');
  const user = decoded(groups.user ?? '');
  if (user === '' || database === '') throw invalid('must name a user and a database: postgres://USER@HOST/DATABASE');
  const schema = query.get('schema');
  if (schema !== null && !/^[a-z_][a-z0-9_]{0,62}$/.test(schema))
    throw invalid('must name a schema of 1 to 63 small letters, digits and _');
  return {
    hosts,
    user,
    password: groups.password === undefined ? null : decoded(groups.password),
    database,
    schema,
    sslMode: sslModeOf(query.get('sslmode'), hosts),
  };
}

/** Where a password holds a question mark that is not written as %3F, what comes behind it is of the password. */
const isPlain = (name: string, query: string | undefined): boolean =>
  /^\w{1,40}$/.test(name) && !/[@:]/.test(query ?? '');

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw invalid('holds a % that begins no %-code: write it as %25');
  }
}

function hostsOf(list: string): [PostgresHost, ...PostgresHost[]] {
  const [first, ...others] = list.split(',').map((each): PostgresHost => {
    if (each.startsWith('/')) return { host: each, port: defaultPort };
    const { name, port } = /^(?:\[(?<name>[^\]]+)\]|(?<name>[^:]*))(?::(?<port>\d{1,5}))?$/.exec(each)?.groups ?? {};
    const number = port === undefined ? defaultPort : Number(port);
    if (name === undefined || name === '' || !(number >= 1 && number <= 65_535))
      throw invalid('must name each host as HOST or HOST:PORT, an IPv6 address in [ ]');
    return { host: name, port: number };
  });
  if (first === undefined || others.length >= hostsMax) throw invalid(`must name 1 to ${hostsMax} hosts`);
  return [first, ...others];
}

const isLocal = ({ host }: PostgresHost): boolean =>
  host.startsWith('/') || host === 'localhost' || host === '::1' || /^127\./.test(host);

function sslModeOf(said: string | null, hosts: readonly PostgresHost[]): SslMode {
  if (said === null) return hosts.every(isLocal) ? 'disable' : 'verify-full';
  const known = sslModes.find((mode) => mode === said);
  if (known === undefined) throw invalid(`must have an sslmode of ${sslModes.join(', ')}`);
  return known;
}

/** What an operator may read of it: hosts and database. */
export function tellPostgres({ hosts, database }: PostgresAddress): string {
  const names = hosts.map(({ host, port }) =>
    host.startsWith('/') ? host : `${host.replace(/.*:.*/, '[$&]')}:${port}`,
  );
  return `postgres://${names.join(',')}/${database}`;
}

/** As libpq's: `require` takes any certificate, unless there is an authority to compare it with. `ca`: PEM. */
export function tlsOf({ sslMode }: PostgresAddress, host: string, ca: string | null): ConnectionOptions | false {
  if (sslMode === 'disable' || host.startsWith('/')) return false;
  const authority = ca === null ? {} : { ca };
  if (sslMode === 'verify-full')
    return {
      ...authority,
      rejectUnauthorized: true,
      // By the name that was asked for, an IP address as well.
      checkServerIdentity: (_, certificate) => checkServerIdentity(host, certificate),
      ...(isIP(host) === 0 ? { servername: host } : {}),
    };
  if (sslMode === 'verify-ca' || ca !== null)
    return { ...authority, rejectUnauthorized: true, checkServerIdentity: () => undefined };
  return { rejectUnauthorized: false };
}
