/** The channels of one connection under a policy: which may be there at all, and what of each goes on. */
import { type ClientDataBlock, type ConferenceCreateRequest, DYNAMIC_CHANNEL_NAME } from '@lucid-sessions/rdp';
import { DecodeError } from '@lucid-sessions/wire';
import type { RelaySide } from '../events.ts';
import type { ChannelPolicy } from './channel-policy.ts';
import { PolicyJudge } from './channel-policy.ts';
import { ClipboardRule } from './clipboard-rule.ts';
import { DeviceRule } from './device-rule.ts';
import { DynamicRule, type DynamicRuleOptions } from './dynamic-rule.ts';
import { type ChunksPassed, MessageGate, messageChunks, type Verdict } from './message-gate.ts';
import { Refusals, shown } from './refusals.ts';

export interface ChannelGatesOptions {
  policy: ChannelPolicy;
  /** The first time something is refused. */
  tell: (what: string) => void;
  /** A dynamic channel is refused for another reason than the policy. */
  refusesOtherwise: (name: string) => boolean;
  /** Data of a chunk that the gateway says by itself. */
  answer: (to: RelaySide, channelId: number, chunk: Uint8Array) => void;
}

/** [MS-RDPBCGR] 2.2.1.3.4.1. */
const NAME_CHARS_MAX = 7;
const CS_NET = 0xc003;
const FACT_CHARS_MAX = 1000;

type Rule = { judge: (from: RelaySide, message: Uint8Array, isWhole: boolean) => Verdict };
type Gate = Readonly<Record<RelaySide, MessageGate>>;

export class ChannelGates {
  readonly #options: ChannelGatesOptions;
  readonly #judge: PolicyJudge;
  readonly #refusals: Refusals;
  /** By place in the client's list. */
  #refused: (string | null)[] = [];
  /** By the ids the server gave; of what is announced nowhere nothing passes. */
  readonly #gates = new Map<number, Gate>();
  /** Channels of which everything passes as it comes. */
  readonly open = new Set<number>();
  /** Of the client's list, as the server gave them. */
  ids: readonly number[] = [];

  constructor(options: ChannelGatesOptions) {
    this.#options = options;
    this.#judge = new PolicyJudge(options.policy);
    this.#refusals = new Refusals(options.tell);
  }

  get refusals(): ReadonlyMap<string, number> {
    return this.#refusals.counts;
  }

  inForce(): string {
    const text = `in force: ${this.#judge.describe()}`;
    return text.length > FACT_CHARS_MAX ? `${text.slice(0, FACT_CHARS_MAX - 1)}…` : text;
  }

  /**
   * A channel that may not be there keeps its place in the client's list under a name no server has a use for: ids are given by
   * place, and a client that finds one missing may give up. Whether anything changed.
   */
  rename({ blocks }: ConferenceCreateRequest): boolean {
    const lists = blocks.filter((block) => block.kind === 'network' || isRawNetwork(block));
    if (lists.length > 1 || lists.some(({ kind }) => kind !== 'network'))
      throw new DecodeError('invalid', 'the list of channels can not be read, and a policy has to read it');
    const seen = new Set<string>();
    for (const block of blocks) {
      if (block.kind !== 'network') continue;
      this.#refused = block.channels.map(({ name: { text } }, at) => {
        const why = seen.has(text.toLowerCase()) ? 'announced twice' : this.#whyNot(text);
        seen.add(text.toLowerCase());
        if (why === null) return null;
        this.#refusals.add(`channel ${shown(text)} refused (${why})`);
        block.channels[at]!.name = { text: unused(at) };
        return why;
      });
    }
    return this.#refused.some((why) => why !== null);
  }

  /** A server may take another part of a name that is too long for the one. */
  #whyNot(name: string): string | null {
    return name.length > NAME_CHARS_MAX ? 'its name is too long' : this.#judge.staticChannel(name);
  }

  /** The ids the server gave, in the order of the client's list; 0 where it gave none. */
  named(channels: readonly { channelId: number; name: string }[]): void {
    this.ids = channels.map(({ channelId }) => channelId);
    for (const [at, { channelId, name }] of channels.entries()) {
      if (channelId === 0) continue;
      const rule = this.#refused[at] === null ? this.#ruleFor(name.toLowerCase(), channelId) : nothing;
      if (rule === null) this.open.add(channelId);
      else this.#gates.set(channelId, this.#gate(rule, name));
    }
  }

  /** The data of a chunk's PDU on a channel that is not open. Throws `DecodeError` where it can't be followed any more. */
  chunk(from: RelaySide, channelId: number, data: Uint8Array): ChunksPassed {
    const gate = this.#gates.get(channelId);
    if (gate !== undefined) return gate[from].chunk(data);
    this.unread('a channel nobody announced');
    return [];
  }

  unread(where: string): void {
    this.#refusals.add(`what could not be read on ${where} refused`);
  }

  #ruleFor(name: string, channelId: number): Rule | null {
    const refusals = this.#refusals;
    const judge = this.#judge;
    const answer = (to: RelaySide, message: Uint8Array): void => {
      for (const chunk of messageChunks(message)) this.#options.answer(to, channelId, chunk);
    };
    if (name === DYNAMIC_CHANNEL_NAME) return new DynamicRule({ refuses: this.#refusesDynamic, refusals, answer });
    if (name === 'cliprdr' && judge.filtersClipboard) return new ClipboardRule({ judge, refusals, answer });
    return name === 'rdpdr' && judge.filtersDevices ? new DeviceRule({ judge, refusals, answer }) : null;
  }

  readonly #refusesDynamic: DynamicRuleOptions['refuses'] = (name) => {
    const why = this.#judge.dynamicChannel(name);
    if (why !== null) return { why, isTold: false };
    return this.#options.refusesOtherwise(name) ? { why: 'video', isTold: true } : null;
  };

  #gate(rule: Rule, name: string): Gate {
    const gate = (from: RelaySide): MessageGate =>
      new MessageGate(
        (message, isWhole) => rule.judge(from, message, isWhole),
        () => this.unread(shown(name)),
      );
    return { client: gate('client'), server: gate('server') };
  }
}

/** Of a channel that was renamed: what is sent on it all the same. */
const nothing: Rule = { judge: () => 'refuse' };

/** CS_NET that was odd and stayed raw. */
const isRawNetwork = (block: ClientDataBlock): boolean => block.kind === 'unknown' && block.type === CS_NET;

const unused = (at: number): string => `unused${at.toString(36).slice(0, 1)}`;
