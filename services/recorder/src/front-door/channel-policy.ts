/** The rules of a ticket as the relay takes them. */
import type { ChannelRules } from '@lucid-sessions/contract';
import { type ChannelPolicy, openPolicy } from '@lucid-sessions/relay';

export function channelPolicyOf(rules: ChannelRules): ChannelPolicy {
  const { clipboard, clipboard_files, smart_cards, ...rest } = rules;
  return {
    ...openPolicy,
    ...given({ ...rest, clipboard, clipboardFiles: clipboard_files, smartCards: smart_cards }),
  };
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

const given = <T extends object>(values: T): Given<T> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Given<T>;
