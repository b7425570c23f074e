/**
 * Where a request comes from. X-Forwarded-For is what anybody wrote: only entries that trusted proxies appended count, from the
 * right, and nothing that is no IP address gets any further.
 */
import { BlockList, isIP } from 'node:net';
import { type Environment, EnvironmentError, readText } from '@lucid-sessions/kit';

export type ProxyTrust =
  | { kind: 'none' }
  /** So many proxies stand before this service, each of which appends the address it was called from. */
  | { kind: 'hops'; count: number }
  /** Proxies are known by their addresses. */
  | { kind: 'networks'; networks: BlockList };

export const noProxy: ProxyTrust = { kind: 'none' };

const hopsMax = 20;
const networksMax = 100;
const entriesMax = 100;

function addNetwork(networks: BlockList, text: string): boolean {
  const [address = '', bits, ...more] = text.split('/');
  const version = isIP(address);
  if (version === 0 || more.length > 0) return false;
  const family = version === 4 ? 'ipv4' : 'ipv6';
  const widest = version === 4 ? 32 : 128;
  const prefix = bits === undefined ? widest : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
  if (!(prefix >= 0 && prefix <= widest)) return false;
  networks.addSubnet(address, prefix, family);
  return true;
}

/** A number of proxies, or their networks; `true` is one proxy. */
export function readProxyTrust(environment: Environment, variable: string): ProxyTrust {
  const text = readText(environment, variable, 'false').toLowerCase();
  if (text === 'false') return noProxy;
  const hops = text === 'true' ? 1 : /^\d{1,2}$/.test(text) ? Number(text) : null;
  if (hops === 0) return noProxy;
  if (hops !== null && hops <= hopsMax) return { kind: 'hops', count: hops };
  const networks = new BlockList();
  const parts = text.split(',').map((part) => part.trim());
  if (hops !== null || parts.length > networksMax || !parts.every((part) => addNetwork(networks, part)))
    throw new EnvironmentError(
      variable,
      `must be the number of proxies (at most ${hopsMax}) or their addresses and networks (10.0.0.0/8), with commas`,
    );
  return { kind: 'networks', networks };
}

/** An address as it is compared and written down: without port, zone and IPv4-in-IPv6; null where it is none. */
export function normalAddress(text: string): string | null {
  const bare = /^\[([^\]]{1,64})\](?::\d{1,5})?$/.exec(text)?.[1] ?? /^([\d.]{7,15}):\d{1,5}$/.exec(text)?.[1] ?? text;
  const address = bare.slice(0, 64).replace(/%.*$/, '');
  if (isIP(address) === 4) return address;
  if (isIP(address) !== 6) return null;
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical);
  if (mapped === null) return canonical;
  const [high, low] = [Number.parseInt(mapped[1]!, 16), Number.parseInt(mapped[2]!, 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

function isTrusted(trust: ProxyTrust, address: string, hop: number): boolean {
  if (trust.kind === 'none') return false;
  if (trust.kind === 'hops') return hop < trust.count;
  return trust.networks.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6');
}

/** `forwarded`: the header X-Forwarded-For as it came. */
export function clientAddress(remote: string | undefined, forwarded: string | undefined, trust: ProxyTrust): string {
  let address = normalAddress(remote ?? '');
  if (address === null) return 'unknown';
  if (trust.kind === 'none' || forwarded === undefined) return address;
  const entries = forwarded.split(',').slice(-entriesMax);
  for (let hop = 0; isTrusted(trust, address, hop); hop += 1) {
    const next = normalAddress((entries.pop() ?? '').trim());
    if (next === null) return address;
    address = next;
  }
  return address;
}

/** What one caller can have many of counts as one: an IPv6 host chooses among the addresses of its /64. */
export function addressGroup(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = address.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array<string>(Math.max(0, 8 - before.length - after.length)).fill('0');
  return `${[...before, ...zeros, ...after].slice(0, 4).join(':')}::/64`;
}
