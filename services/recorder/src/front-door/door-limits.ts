/** Room for everybody: how many connections of one client address may wait, and how many may come in a second. */
import { effectiveAddress, parseIpAddress } from '@lucid-sessions/contract';
import { TokenBucket } from '@lucid-sessions/kit';

export interface DoorLimitsOptions {
  /** Connections of one address that are no session yet. */
  waitingPerAddressMax: number;
  /** Of all addresses together. */
  waitingMax: number;
  /** New connections of one address; so many as may wait may come at once. */
  perSecondMax: number;
  nowMs: () => number;
}

/** A waiting connection, which may have to make room. */
export interface Waiting {
  destroy(): unknown;
}

interface Address {
  waiting: Set<Waiting>;
  /** What it may still open. */
  pace: TokenBucket;
}

const addressesMax = 10_000;

/** IPv6 hosts choose from 2⁶⁴ addresses: they count by the network they are in. IPv4 in IPv6 is IPv4. */
export function clientGroup(address: string): string {
  const whole = parseIpAddress(address);
  if (whole === null) return address;
  const bytes = effectiveAddress(whole);
  return bytes.length === 4 ? bytes.join('.') : `${Buffer.from(bytes).toString('hex', 0, 8)}/64`;
}

/** An address as it is told and written down; without a port where only the address is known. */
export function addressOf(ip = 'unknown', port?: number): string {
  const host = ip.includes(':') ? `[${ip}]` : ip;
  return port === undefined ? host : `${host}:${port}`;
}

export const ipOf = (clientAddress: string): string => clientAddress.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');

export class DoorLimits {
  readonly #options: DoorLimitsOptions;
  /** In the order of their last connection. */
  readonly #addresses = new Map<string, Address>();
  #waitingCount = 0;

  constructor(options: DoorLimitsOptions) {
    this.#options = options;
  }

  get waitingCount(): number {
    return this.#waitingCount;
  }

  /** False when there is no room for `group`; otherwise it waits until `leave`. */
  enter(group: string, connection: Waiting): boolean {
    const { waitingPerAddressMax, waitingMax, nowMs } = this.#options;
    const nowUs = nowMs() * 1000;
    const address = this.#address(group, nowUs);
    if (!address.pace.has(nowUs) || address.waiting.size >= waitingPerAddressMax) return false;
    if (this.#waitingCount >= waitingMax && !this.#makeRoom(address)) return false;
    address.pace.take(nowUs);
    address.waiting.add(connection);
    this.#waitingCount += 1;
    return true;
  }

  /** It became a session or is gone. */
  leave(group: string, connection: Waiting): void {
    if (this.#addresses.get(group)?.waiting.delete(connection) === true) this.#waitingCount -= 1;
  }

  #address(group: string, nowUs: number): Address {
    const { waitingPerAddressMax, perSecondMax: perSecond } = this.#options;
    const burst = Math.max(perSecond, waitingPerAddressMax);
    const address = this.#addresses.get(group) ?? {
      waiting: new Set<Waiting>(),
      pace: new TokenBucket({ burst, perSecond }, nowUs),
    };
    this.#addresses.delete(group);
    this.#addresses.set(group, address);
    if (this.#addresses.size > addressesMax) this.#forget();
    return address;
  }

  /** The address that was quiet longest; what waits of it stays counted. */
  #forget(): void {
    for (const [group, { waiting }] of this.#addresses)
      if (waiting.size === 0) {
        this.#addresses.delete(group);
        return;
      }
  }

  /** The address with the most waiting connections gives up its oldest, unless it is the one that asks. */
  #makeRoom(asking: Address): boolean {
    let most: Address = asking;
    for (const address of this.#addresses.values()) if (address.waiting.size > most.waiting.size) most = address;
    const [oldest] = most.waiting;
    if (most === asking || oldest === undefined) return false;
    most.waiting.delete(oldest);
    this.#waitingCount -= 1;
    oldest.destroy();
    return true;
  }
}
