/** What may cross between client and target beside screen and input, and the one place that says so of a channel by its name. */
import { type ChannelClass, channelKind, DeviceType } from '@lucid-sessions/rdp';
import type { RelaySide } from '../events.ts';

/** Which way a clipboard works: `in` is from the client into the session. */
export type ClipboardWay = 'both' | 'in' | 'out' | 'off';

export interface ChannelPolicy {
  /** All that is copied but files. */
  clipboard: ClipboardWay;
  clipboardFiles: ClipboardWay;
  drives: boolean;
  printers: boolean;
  /** Serial and parallel. */
  ports: boolean;
  smartCards: boolean;
  audio: boolean;
  microphone: boolean;
  camera: boolean;
  /** And plug and play devices. */
  usb: boolean;
  location: boolean;
  /** Channels whose use nobody knows, static and dynamic. */
  others: boolean;
  /** Names of channels, `*` for anything: exceptions from `others`. */
  allow: readonly string[];
  /** Names of channels that are refused whatever the rest says. */
  deny: readonly string[];
}

/** Everything, as without a policy. */
export const openPolicy: ChannelPolicy = {
  clipboard: 'both',
  clipboardFiles: 'both',
  drives: true,
  printers: true,
  ports: true,
  smartCards: true,
  audio: true,
  microphone: true,
  camera: true,
  usb: true,
  location: true,
  others: true,
  allow: [],
  deny: [],
};

type Switch = { [K in keyof ChannelPolicy]: ChannelPolicy[K] extends boolean ? K : never }[keyof ChannelPolicy];

const ofClass: { readonly [C in ChannelClass]?: Switch } = {
  audio_out: 'audio',
  audio_in: 'microphone',
  camera: 'camera',
  location: 'location',
  unknown: 'others',
};
/** [MS-RDPEUSB], [MS-RDPEPNP], [MS-RDPEXPS], and the sound of [MS-RDPEV]. */
const ofName: Readonly<Record<string, Switch>> = {
  urbdrc: 'usb',
  pnpdr: 'usb',
  fileredirectorchannel: 'usb',
  xpsrd: 'printers',
  tsvctkt: 'printers',
  tsmf: 'audio',
};
const ofDevice: ReadonlyMap<number, Switch> = new Map([
  [DeviceType.serial, 'ports'],
  [DeviceType.parallel, 'ports'],
  [DeviceType.printer, 'printers'],
  [DeviceType.filesystem, 'drives'],
  [DeviceType.smartcard, 'smartCards'],
]);
const switches = (Object.keys(openPolicy) as (keyof ChannelPolicy)[]).filter(
  (name): name is Switch => typeof openPolicy[name] === 'boolean',
);
const deviceSwitches = [...new Set(ofDevice.values())];

/** As the contract names them. */
const words: Readonly<Record<Switch, string>> = {
  drives: 'drives',
  printers: 'printers',
  ports: 'ports',
  smartCards: 'smart_cards',
  audio: 'audio',
  microphone: 'microphone',
  camera: 'camera',
  usb: 'usb',
  location: 'location',
  others: 'others',
};

/** What is refused, and by which rule; null: it may pass. */
export type Refused = string | null;

export class PolicyJudge {
  readonly policy: ChannelPolicy;

  constructor(policy: ChannelPolicy) {
    this.policy = policy;
  }

  /** A static channel, which may be let through in part: clipboard and devices are told apart message by message. */
  staticChannel(name: string): Refused {
    const lower = name.toLowerCase();
    const { clipboard, clipboardFiles } = this.policy;
    if (lower === 'cliprdr' && clipboard === 'off' && clipboardFiles === 'off')
      return this.#byPattern(name) ?? 'clipboard';
    return this.#channel(name);
  }

  /** A dynamic one is opened as a whole or not: what Windows reopens as dynamic goes by its static channel otherwise. */
  dynamicChannel(name: string): Refused {
    const lower = name.toLowerCase();
    if (lower === 'cliprdr' && this.filtersClipboard) return this.#byPattern(name) ?? 'clipboard';
    const device = lower === 'rdpdr' ? deviceSwitches.find((each) => !this.policy[each]) : undefined;
    if (device !== undefined) return this.#byPattern(name) ?? words[device];
    return this.#channel(name);
  }

  /** By DeviceType; what is none of them can't be judged. */
  device(type: number): Refused {
    const right = ofDevice.get(type);
    if (right === undefined) return 'a device of no known type';
    return this.policy[right] ? null : words[right];
  }

  get filtersDevices(): boolean {
    return deviceSwitches.some((each) => !this.policy[each]);
  }

  get filtersClipboard(): boolean {
    return this.policy.clipboard !== 'both' || this.policy.clipboardFiles !== 'both';
  }

  /** Whether what `from` has copied may be pasted on the other side. */
  clipboard(from: RelaySide, what: 'text' | 'files'): boolean {
    const way = what === 'text' ? this.policy.clipboard : this.policy.clipboardFiles;
    return way === 'both' || way === (from === 'client' ? 'in' : 'out');
  }

  /** The rules in force, in the contract's words. */
  describe(): string {
    const { clipboard, clipboardFiles, allow, deny } = this.policy;
    return [
      clipboard === 'both' ? '' : `clipboard:${clipboard}`,
      clipboardFiles === 'both' ? '' : `clipboard_files:${clipboardFiles}`,
      ...switches.map((each) => (this.policy[each] ? '' : `${words[each]}:off`)),
      ...deny.map((pattern) => `deny:${pattern}`),
      ...allow.map((pattern) => `allow:${pattern}`),
    ]
      .filter((part) => part !== '')
      .join(' ');
  }

  #channel(name: string): Refused {
    const byPattern = this.#byPattern(name);
    if (byPattern !== null) return byPattern;
    const lower = name.toLowerCase();
    const right = Object.hasOwn(ofName, lower) ? ofName[lower] : ofClass[channelKind(name).class];
    if (right === undefined || this.policy[right]) return null;
    if (right === 'others' && this.policy.allow.some((pattern) => matches(pattern, name))) return null;
    return words[right];
  }

  #byPattern(name: string): Refused {
    const pattern = this.policy.deny.find((each) => matches(each, name));
    return pattern === undefined ? null : `deny:${pattern}`;
  }
}

export const refusesNothing = (policy: ChannelPolicy): boolean =>
  policy.clipboard === 'both' &&
  policy.clipboardFiles === 'both' &&
  policy.deny.length === 0 &&
  switches.every((each) => policy[each]);

/** `*` stands for anything, case for nothing. Takes time in the length of both, whatever they are. */
export function matches(pattern: string, name: string): boolean {
  const [first = '', ...rest] = pattern.toLowerCase().split('*');
  const text = name.toLowerCase();
  const last = rest.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last)) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
