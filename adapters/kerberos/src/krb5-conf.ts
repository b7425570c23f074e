/** krb5.conf of MIT and Heimdal, as far as a client needs it; everything else in it is passed over. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Krb5Conf {
  /** Empty where none is named. */
  defaultRealm: string;
  /** Whether KDCs of realms not listed are looked for in DNS. */
  looksInDns: boolean;
  /** `host` or `host:port` by realm. */
  kdcs: ReadonlyMap<string, readonly string[]>;
  /** By name or `.domain`, in lower case. */
  realmOfDomain: ReadonlyMap<string, string>;
}

const linesMax = 10_000;
const filesMax = 64;

/** A file and what it includes, one text. Throws Error. */
export function readKrb5Conf(path: string): Krb5Conf {
  const files: string[] = [];
  const read = (file: string): string => {
    files.push(file);
    if (files.length > filesMax) throw new Error(`it includes more than ${filesMax} files`);
    return readFileSync(file, 'utf8').replace(/^(include|includedir)[ \t]+(.+)$/gm, (_, how: string, named: string) => {
      const place = named.trim();
      if (how === 'include') return read(place);
      return partsOf(place).map(read).join('\n');
    });
  };
  return parseKrb5Conf(read(path));
}

/** As MIT takes them from a folder: names of letters, digits, - and _, or that end in .conf. */
const partsOf = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => /^[\w-]+$|^[^.].*\.conf$/.test(name))
    .sort()
    .map((name) => join(folder, name));

/** Throws Error for text that can't be followed: the line is named. */
export function parseKrb5Conf(text: string): Krb5Conf {
  const values = new Map<string, string[]>();
  let section = '';
  let block = '';
  const lines = text.split(/\r?\n/);
  if (lines.length > linesMax) throw new Error(`it has more than ${linesMax} lines`);
  for (const [at, raw] of lines.entries()) {
    const line = raw.replace(/^\s*[#;].*$/, '').trim();
    if (line === '') continue;
    const [, name] = /^\[([^\]]+)\]\*?$/.exec(line) ?? [];
    const [, key = '', value = ''] = /^([^=]+?)\s*=\s*(.*)$/.exec(line) ?? [];
    if (/^(?:include|includedir|module)\s/.test(line)) continue;
    if (name !== undefined) {
      section = name.toLowerCase();
      block = '';
    } else if (line === '}') block = '';
    else if (value === '{') block = key;
    else if (key === '') throw new Error(`line ${at + 1} is no setting: ${line.slice(0, 80)}`);
    else {
      const path = [section, ...(block === '' ? [] : [block]), key.replace(/\*$/, '')].join('\n');
      values.set(path, [...(values.get(path) ?? []), value.replace(/^"(.*)"$/, '$1')]);
    }
  }
  const kdcs = new Map<string, string[]>();
  const realmOfDomain = new Map<string, string>();
  for (const [path, found] of values) {
    const [of, first = '', second] = path.split('\n');
    if (of === 'realms' && second === 'kdc') kdcs.set(first, found.map(withoutTransport));
    if (of === 'domain_realm' && second === undefined) realmOfDomain.set(first.toLowerCase(), found[0]!);
  }
  const one = (key: string): string => values.get(`libdefaults\n${key}`)?.[0] ?? '';
  return {
    defaultRealm: one('default_realm'),
    looksInDns: !/^(?:false|no|n|f|off|0)$/i.test(one('dns_lookup_kdc')),
    kdcs,
    realmOfDomain,
  };
}

/** Heimdal's `tcp/host`. */
const withoutTransport = (kdc: string): string => kdc.replace(/^(?:tcp|udp)\//, '').split(/[\s,]/)[0]!;

/** Realm of a host by its own name, then by its domains; empty where the file names none. */
export function realmOfHost({ realmOfDomain }: Krb5Conf, host: string): string {
  const name = host.toLowerCase().replace(/\.$/, '');
  const own = realmOfDomain.get(name);
  if (own !== undefined) return own;
  for (let at = name.indexOf('.'); at >= 0; at = name.indexOf('.', at + 1)) {
    const found = realmOfDomain.get(name.slice(at));
    if (found !== undefined) return found;
  }
  return '';
}
