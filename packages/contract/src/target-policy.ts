/**
 * Which targets the gateway may connect to for a session that somebody created. What the operator's own configuration names
 * (listener rules) is not asked about. An address is judged after its name was resolved, and that very address is dialled.
 */
import { effectiveAddress, isInNetwork, parseIpAddress } from './ip-address.ts';

export interface TargetRule {
  host:
    | { kind: 'any' }
    /** Lower-case; `suffix`: names below it. */
    | { kind: 'name'; name: string; suffix: boolean }
    | { kind: 'network'; network: Uint8Array; bits: number };
  /** Null: every port. */
  ports: { from: number; to: number } | null;
}

export interface TargetPolicy {
  /** Empty: everything that is not denied and not special. */
  allow: readonly TargetRule[];
  deny: readonly TargetRule[];
  /** Loopback is no special address: the gateway's own RDP door is on it, so whoever comes is on this machine already. */
  opensLoopback: boolean;
  /** Where the product itself listens on this machine. */
  ownPorts: readonly number[];
}

export interface ResolvedTarget {
  /** As the session names it. */
  host: string;
  address: string;
  port: number;
  /** The address is one of this machine's. */
  isOwnAddress: boolean;
}

const portOf = (text: string): number | null =>
  /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? Number(text) : null;

function readPorts(text: string | undefined): TargetRule['ports'] | undefined {
  if (text === undefined) return null;
  const [first = '', last = first, ...more] = text.split('-');
  const from = portOf(first);
  const to = portOf(last);
  return from !== null && to !== null && from <= to && more.length === 0 ? { from, to } : undefined;
}

function readHost(text: string): TargetRule['host'] | null {
  if (text === '*') return { kind: 'any' };
  const [address = '', length, ...more] = text.replace(/^\[(.*)\]/, '$1').split('/');
  const network = parseIpAddress(address);
  if (network !== null && more.length === 0) {
    const bits = length === undefined ? 8 * network.length : /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
    return bits <= 8 * network.length ? { kind: 'network', network, bits } : null;
  }
  const name = text.toLowerCase().replace(/^\*\./, '');
  if (!/^(?=.{1,253}$)[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/.test(name) || /^[\d.]+$/.test(name)) return null;
  return { kind: 'name', name, suffix: text.startsWith('*.') };
}

/** `*`, `name`, `*.domain`, `address` or `network/bits`, each with `:port` or `:from-to` behind it; IPv6 in brackets then. */
export function parseTargetRule(text: string): TargetRule | null {
  const isBareIpv6 = /^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:\/\d+)?$/.test(text);
  const [, hostText = '', portText] = isBareIpv6
    ? [text, text, undefined]
    : (/^(\[[^\]]*\](?:\/\d{1,3})?|[^:[\]]+)(?::([\d-]+))?$/.exec(text) ?? []);
  const host = readHost(hostText);
  const ports = readPorts(portText);
  return host === null || ports === undefined ? null : { host, ports };
}

const network = (text: string): { network: Uint8Array; bits: number } => {
  const [address = '', bits] = text.split('/');
  return { network: parseIpAddress(address)!, bits: Number(bits) };
};

/** Where no desktop of somebody else is. Names of rules don't open these: whoever answers for a name chooses its address. */
const special = [
  ['loopback', ['127.0.0.0/8', '::1/128']],
  ['unspecified', ['0.0.0.0/8', '::/128']],
  // With it the metadata services of clouds, 169.254.169.254.
  ['link-local', ['169.254.0.0/16', 'fe80::/10']],
  ['metadata', ['fd00:ec2::254/128', '100.100.100.200/32', '168.63.129.16/32', '192.0.0.192/32']],
  ['multicast', ['224.0.0.0/4', 'ff00::/8']],
  ['broadcast', ['255.255.255.255/32']],
].flatMap(([kind, texts]) => (texts as string[]).map((text) => ({ kind: kind as string, ...network(text) })));

function matches({ host, ports }: TargetRule, target: ResolvedTarget, address: Uint8Array): boolean {
  if (ports !== null && !(target.port >= ports.from && target.port <= ports.to)) return false;
  const name = target.host.toLowerCase().replace(/\.$/, '');
  switch (host.kind) {
    case 'any':
      return true;
    case 'name':
      return host.suffix ? name.endsWith(`.${host.name}`) : name === host.name;
    case 'network':
      return isInNetwork(address, host.network, host.bits);
  }
}

/** Why this address may not be dialled, for the operator's log; null when it may. */
export function targetProblem(
  target: ResolvedTarget,
  { allow, deny, opensLoopback, ownPorts }: TargetPolicy,
): string | null {
  const bytes = parseIpAddress(target.address);
  if (bytes === null) return 'no address';
  const address = effectiveAddress(bytes);
  if (deny.some((rule) => matches(rule, target, address))) return 'denied by RDP_TARGETS_DENY';
  const allowing = allow.filter((rule) => matches(rule, target, address));
  const isOwn =
    target.isOwnAddress ||
    special.some((one) => one.kind === 'loopback' && isInNetwork(address, one.network, one.bits));
  if (isOwn && ownPorts.includes(target.port) && !allowing.some(({ ports }) => ports !== null))
    return 'a port of the gateway itself; RDP_TARGETS_ALLOW must name it with its port';
  const closed = special.filter(({ kind }) => kind !== 'loopback' || !opensLoopback);
  const found = closed.find((one) => isInNetwork(address, one.network, one.bits));
  if (found !== undefined && !allowing.some(({ host }) => host.kind === 'network'))
    return `a ${found.kind} address; RDP_TARGETS_ALLOW must name it or its network`;
  return allow.length > 0 && allowing.length === 0 ? 'not in RDP_TARGETS_ALLOW' : null;
}
