/** `redis://`, `redis+sentinel://` and `redis+cluster://` addresses (`rediss…` for TLS), read without ever quoting a password. */
import { LucidError } from '@lucid-sessions/contract';

export interface RedisNode {
  host: string;
  port: number;
}

export interface RedisAddress {
  kind: 'single' | 'sentinel' | 'cluster';
  nodes: readonly [RedisNode, ...RedisNode[]];
  /** What sentinels call the set of servers they watch. */
  masterName: string | null;
  user: string | null;
  password: string | null;
  database: number;
  tls: boolean;
}

const nodesMax = 32;
const databaseMax = 1023;
const shape =
  /^redis(?<tls>s)?(?:\+(?<kind>sentinel|cluster))?:\/\/(?:(?<user>[^:@/?]*)(?::(?<password>[^@/?]*))?@)?(?<nodes>[^/?@]+)(?:\/(?<path>[^?]*))?$/;
const ports = { single: 6379, sentinel: 26_379, cluster: 6379 };

const invalid = (what: string) => new LucidError('invalidRequest', what);

/** Throws LucidError `invalidRequest`. */
export function parseRedisUrl(text: string): RedisAddress {
  const groups = shape.exec(text)?.groups;
  if (groups === undefined)
    throw invalid(
      'must be redis://HOST:PORT, redis+sentinel://HOST:PORT,HOST:PORT/NAME or redis+cluster://HOST:PORT,HOST:PORT (rediss for TLS), USER:PASSWORD@ before the first host, with %-codes for : / ? @ %',
    );
  const kind = (groups.kind ?? 'single') as RedisAddress['kind'];
  const [name = '', database = ''] = kind === 'sentinel' ? (groups.path ?? '').split('/') : ['', groups.path ?? ''];
  if (kind === 'sentinel' && !/^[\w.-]{1,200}$/.test(name)) throw invalid('must name what the sentinels watch: …/NAME');
  if (database !== '' && !(/^\d{1,4}$/.test(database) && Number(database) <= databaseMax && kind !== 'cluster'))
    throw invalid(`may name a database from 0 to ${databaseMax} behind the slash; a cluster has none`);
  return {
    kind,
    nodes: nodesOf(groups.nodes ?? '', kind),
    masterName: kind === 'sentinel' ? name : null,
    user: decoded(groups.user) || null,
    password: decoded(groups.password) || null,
    database: Number(database),
    tls: groups.tls !== undefined,
  };
}

function decoded(part = ''): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw invalid('holds a % that begins no %-code: write it as %25');
  }
}

function nodesOf(list: string, kind: RedisAddress['kind']): [RedisNode, ...RedisNode[]] {
  const [first, ...others] = list.split(',').map((each): RedisNode => {
    const { name, port } = /^(?:\[(?<name>[^\]]+)\]|(?<name>[^:]+))(?::(?<port>\d{1,5}))?$/.exec(each)?.groups ?? {};
    const number = port === undefined ? ports[kind] : Number(port);
    if (name === undefined || !(number >= 1 && number <= 65_535))
      throw invalid('must name each host as HOST or HOST:PORT, an IPv6 address in [ ]');
    return { host: name, port: number };
  });
  if (first === undefined || others.length >= nodesMax) throw invalid(`must name 1 to ${nodesMax} hosts`);
  if (kind === 'single' && others.length > 0)
    throw invalid('must name one host, or be redis+sentinel or redis+cluster');
  return [first, ...others];
}
