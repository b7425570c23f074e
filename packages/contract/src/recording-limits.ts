/** What options and variables are checked against before anything else is loaded: without a schema library. */

/** What replay can't show and the gateway takes out of the negotiation, unless it is told to leave it in. */
export const unreplayable = ['graphics', 'bitmap_cache', 'udp', 'video'] as const;
export type Unreplayable = (typeof unreplayable)[number];

/** Which way the clipboard works; `in` is from the client into the session. */
export const clipboardWays = ['both', 'in', 'out', 'off'] as const;
export type ClipboardWay = (typeof clipboardWays)[number];

/** What a policy of channels switches off; `others` are channels whose use nobody knows. */
export const channelSwitches = [
  'drives',
  'printers',
  'ports',
  'smart_cards',
  'audio',
  'microphone',
  'camera',
  'usb',
  'location',
  'others',
] as const;
export type ChannelSwitch = (typeof channelSwitches)[number];

/** Names of channels, `*` for anything in them. */
export const channelPattern = /^[A-Za-z0-9_.:*-]{1,128}$/;
export const channelPatternsMax = 32;

/** What may cross between client and target beside screen and input. What is absent is as the installation says, allowed if it says nothing. */
export interface ChannelRules {
  clipboard?: ClipboardWay | undefined;
  /** Files on the clipboard, apart from what else is copied. */
  clipboard_files?: ClipboardWay | undefined;
  /** Exceptions from `others`. */
  allow?: string[] | undefined;
  /** Refused whatever the rest says. */
  deny?: string[] | undefined;
}
export interface ChannelRules extends Partial<Record<ChannelSwitch, boolean | undefined>> {}

/** As `RDP_CHANNELS` and `--channels` take it; empty where nothing is ruled. */
export function channelRulesText(rules: ChannelRules): string {
  const ways = (['clipboard', 'clipboard_files'] as const).flatMap((name) =>
    rules[name] === undefined ? [] : [`${name}:${rules[name]}`],
  );
  const switched = channelSwitches.flatMap((name) =>
    rules[name] === undefined ? [] : [`${name}:${rules[name] ? 'on' : 'off'}`],
  );
  const names = (['allow', 'deny'] as const).flatMap((name) => (rules[name] ?? []).map((each) => `${name}:${each}`));
  return [...ways, ...switched, ...names].join(' ');
}

/** Whether somebody may take a running session over: when its user agrees, without asking them, never. From the loosest to the strictest. */
export const joinPolicies = ['unasked', 'ask', 'off'] as const;
export type JoinPolicy = (typeof joinPolicies)[number];

/** Characters of a text that is to be read before a session. */
export const consentTextMax = 8000;

/** A hundred years. */
export const retentionDaysMax = 36_500;
