/**
 * Dynamic channels ([MS-RDPEDYC]) under a policy, both directions: which of them may be opened is told by their names. What is not
 * of one that was opened goes no further, compressed or not.
 */
import { DYNAMIC_CHANNELS_MAX, DynamicCommand, dynamicChannelServerPdu } from '@lucid-sessions/rdp';
import { attempt, decode } from '@lucid-sessions/wire';
import type { RelaySide } from '../events.ts';
import { createRefusal } from '../server-creates.ts';
import type { Verdict } from './message-gate.ts';
import { type Refusals, shown } from './refusals.ts';

/** Versions and priorities. */
const CAPABILITY_BYTES_MAX = 64;

export interface DynamicRuleOptions {
  /** Why a channel of that name may not be opened; null: it may. `isTold`: as something else than a refusal of the policy. */
  refuses: (name: string) => { why: string; isTold: boolean } | null;
  refusals: Refusals;
  /** Says something to the server in the client's place. */
  answer: (to: RelaySide, message: Uint8Array) => void;
}

export class DynamicRule {
  readonly #options: DynamicRuleOptions;
  /** Ids of channels that may be used, the one opened last at the end: closing one does not take back what is still on its way. */
  readonly #open = new Set<number>();

  constructor(options: DynamicRuleOptions) {
    this.#options = options;
  }

  judge(from: RelaySide, message: Uint8Array, isWhole: boolean): Verdict {
    const [header] = message;
    if (header === undefined) return 'more';
    const idBytes = [1, 2, 4, 0][header & 3]!;
    const command = header >> 4;
    switch (command) {
      case DynamicCommand.capabilities:
        if (!isWhole) return 'more';
        return message.length <= CAPABILITY_BYTES_MAX ? 'pass' : this.#unread();
      case DynamicCommand.create:
        if (from === 'server') return isWhole ? this.#create(message) : 'more';
        return this.#ofOpen(message, idBytes);
      case DynamicCommand.dataFirst:
      case DynamicCommand.data:
      case DynamicCommand.close:
      case DynamicCommand.dataFirstCompressed:
      case DynamicCommand.dataCompressed:
        return this.#ofOpen(message, idBytes);
      case DynamicCommand.softSyncRequest:
      case DynamicCommand.softSyncResponse:
        this.#options.refusals.add('dynamic channels by UDP refused');
        return 'refuse';
      default:
        return this.#unread();
    }
  }

  #ofOpen(message: Uint8Array, idBytes: number): Verdict {
    if (idBytes === 0) return this.#unread();
    if (message.length < 1 + idBytes) return 'more';
    let id = 0;
    for (let at = idBytes; at > 0; at -= 1) id = id * 256 + message[at]!;
    if (this.#open.has(id)) return 'pass';
    // A channel that was refused is closed by some servers all the same.
    if (message[0]! >> 4 !== DynamicCommand.close)
      this.#options.refusals.add('data of a dynamic channel that is not open refused');
    return 'refuse';
  }

  #create(message: Uint8Array): Verdict {
    const request = attempt(() => decode(dynamicChannelServerPdu, message));
    if (request?.kind !== 'createRequest') return this.#unread();
    const { cbId, channelId, channelName } = request;
    this.#open.delete(channelId);
    const refused = this.#options.refuses(channelName);
    if (refused === null) {
      this.#open.add(channelId);
      if (this.#open.size > DYNAMIC_CHANNELS_MAX) this.#forgetOldest();
      return 'pass';
    }
    if (!refused.isTold) this.#options.refusals.add(`dynamic channel ${shown(channelName)} refused (${refused.why})`);
    this.#options.answer('server', createRefusal({ cbId, channelId }));
    return 'refuse';
  }

  #forgetOldest(): void {
    const [oldest] = this.#open;
    if (oldest !== undefined) this.#open.delete(oldest);
  }

  #unread(): 'refuse' {
    this.#options.refusals.add('what could not be read on drdynvc refused');
    return 'refuse';
  }
}
