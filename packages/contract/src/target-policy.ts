/**
 * Which targets the gateway may connect to for a session that somebody created. What the operator's own configuration names
 * (listener rules) is not asked about. An address is judged after its name was resolved, and that very address is dialled.
 */
import { isInNetwork, parseIpAddress, parseLooseIpAddress, reachedAddresses } from './ip-address.ts';

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
  /** Those of this machine. */
  ownAddresses: readonly string[];
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
    return bits <= 8 * network.length ? asIpv4(network, bits) : null;
  }
  const name = text.toLowerCase().replace(/^\*\./, '').replace(/\.$/, '');
  if (!/^(?=.{1,253}$)[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/.test(name)) return null;
  // 0x7f.1, 127.1: an address in a form whose rule would match nothing.
  if (/(?:^|\.)(?:\d+|0x[0-9a-f]*)$/.test(name)) return null;
  return { kind: 'name', name, suffix: text.startsWith('*.') };
}

/** A network of mapped addresses is one of IPv4: as such they are judged. */
const asIpv4 = (network: Uint8Array, bits: number): TargetRule['host'] => {
  const [mapped] = bits >= 96 ? reachedAddresses(network) : [];
  return mapped?.length === 4 && network.length === 16
    ? { kind: 'network', network: mapped, bits: bits - 96 }
    : { kind: 'network', network, bits };
};

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
  ['reserved', ['240.0.0.0/4']],
].flatMap(([kind, texts]) => (texts as string[]).map((text) => ({ kind: kind as string, ...network(text) })));

const inSpecial = (address: Uint8Array, kind?: string) =>
  special.find((one) => (kind ?? one.kind) === one.kind && isInNetwork(address, one.network, one.bits));

const matchesPort = ({ ports }: TargetRule, port: number): boolean =>
  ports === null || (port >= ports.from && port <= ports.to);

function matchesHost({ host }: TargetRule, name: string, addresses: readonly Uint8Array[]): boolean {
  switch (host.kind) {
    case 'any':
      return true;
    case 'name':
      return host.suffix ? name.endsWith(`.${host.name}`) : name === host.name;
    case 'network':
      return addresses.some((address) => isInNetwork(address, host.network, host.bits));
  }
}

/** Whether a rule is about a target; `address` is the one that was reached. */
export function targetMatches(
  rule: TargetRule,
  { host, port, address }: Omit<ResolvedTarget, 'ownAddresses'>,
): boolean {
  const bytes = parseIpAddress(address);
  const name = nameOf(host.replace(/^\[|\]$/g, ''));
  return matchesPort(rule, port) && matchesHost(rule, name, bytes === null ? [] : reachedAddresses(bytes));
}

const nameOf = (host: string): string => host.toLowerCase().replace(/\.+$/, '');

/** Why this address may not be dialled, for the operator's log; null when it may. */
export function targetProblem(target: ResolvedTarget, policy: TargetPolicy): string | null {
  const bytes = parseIpAddress(target.address);
  return bytes === null ? 'no address' : addressProblem({ ...target, bytes }, policy);
}

function addressProblem(
  { host, port, bytes, ownAddresses }: Omit<ResolvedTarget, 'address'> & { bytes: Uint8Array },
  { allow, deny, opensLoopback, ownPorts }: TargetPolicy,
): string | null {
  const reached = reachedAddresses(bytes);
  const matching = (rule: TargetRule, addresses: readonly Uint8Array[]): boolean =>
    matchesPort(rule, port) && matchesHost(rule, nameOf(host), addresses);
  if (deny.some((rule) => matching(rule, reached))) return 'denied by RDP_TARGETS_DENY';
  // A name doesn't open what is special: whoever answers for it chooses its address.
  const opening = (address: Uint8Array): TargetRule[] =>
    allow.filter((rule) => rule.host.kind === 'network' && matching(rule, [address]));
  const own = reached.find((address) => isOwn(address, ownAddresses));
  if (own !== undefined && ownPorts.includes(port) && !opening(own).some(({ ports }) => ports !== null))
    return 'a port of the gateway itself; RDP_TARGETS_ALLOW must name its address with that port';
  for (const address of reached) {
    const found = inSpecial(address);
    const isClosed = found !== undefined && !(found.kind === 'loopback' && opensLoopback);
    if (isClosed && opening(address).length === 0)
      return `a ${found.kind} address; RDP_TARGETS_ALLOW must name it or its network`;
  }
  return allow.length > 0 && !allow.some((rule) => matching(rule, reached)) ? 'not in RDP_TARGETS_ALLOW' : null;
}

/** Of this machine: what its interfaces have, loopback, and the unspecified address, which leads there too. */
const isOwn = (address: Uint8Array, ownAddresses: readonly string[]): boolean =>
  inSpecial(address, 'loopback') !== undefined ||
  inSpecial(address, 'unspecified') !== undefined ||
  ownAddresses.some((text) =>
    reachedAddresses(parseIpAddress(text) ?? new Uint8Array()).some(
      (one) => one.length === address.length && isInNetwork(address, one, 8 * one.length),
    ),
  );

/** Names that lead to this very machine without anybody being asked (RFC 6761, 6.3). */
const isLocalName = (name: string): boolean => name === 'localhost' || name.endsWith('.localhost');

/**
 * What can be said of a target before its name is resolved: why no address of it may be dialled; null where that has to wait.
 */
export function earlyTargetProblem(
  { host, port, ownAddresses }: Omit<ResolvedTarget, 'address'>,
  policy: TargetPolicy,
): string | null {
  const bare = host.replace(/^\[|\]$/g, '');
  const bytes = parseLooseIpAddress(bare);
  if (bytes !== null) return addressProblem({ host: bare, port, bytes, ownAddresses }, policy);
  const name = nameOf(bare);
  if (isLocalName(name)) {
    const [v4, v6] = ['127.0.0.1', '::1'].map((address) =>
      targetProblem({ host: bare, address, port, ownAddresses }, policy),
    );
    if (v4 !== null && v6 !== null) return v4 ?? null;
  }
  const { allow, deny } = policy;
  if (deny.some((rule) => matchesPort(rule, port) && matchesHost(rule, name, []))) return 'denied by RDP_TARGETS_DENY';
  const mayBeAllowed = (rule: TargetRule): boolean =>
    matchesPort(rule, port) && (rule.host.kind === 'network' || matchesHost(rule, name, []));
  return allow.length > 0 && !allow.some(mayBeAllowed) ? 'not in RDP_TARGETS_ALLOW' : null;
}
