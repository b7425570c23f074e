/**
 * What runs through a channel, by its name: the one table from which the recording's flags, policies, index and documents
 * follow. Names are those of [MS-RDPBCGR] static and [MS-RDPEDYC] dynamic channels; Windows reopens static ones as dynamic.
 */

/** What a channel is for. `unknown`: no name of this table. */
export type ChannelClass =
  | 'graphics'
  | 'pointer'
  | 'display'
  | 'inputs'
  | 'clipboard'
  | 'devices'
  | 'audio_out'
  | 'audio_in'
  | 'video'
  | 'camera'
  | 'authentication'
  | 'location'
  | 'windows'
  | 'control'
  | 'telemetry'
  | 'unknown';

/**
 * How what crosses is recorded: `open` for whoever plays a recording; the others under the key of what people type and copy.
 * `inputs` follow the policy for input, `clipboard` that for the clipboard, `devices` are kept.
 */
export type ChannelContent = 'open' | 'inputs' | 'clipboard' | 'devices';

export interface ChannelKind {
  readonly class: ChannelClass;
  /** What the client sends. */
  readonly client: ChannelContent;
  /** What the server sends. */
  readonly server: ChannelContent;
  /** Its client messages can be read: who is only moving the mouse types nothing. */
  readonly reads?: 'coreInput' | 'touch';
}

const both = (channelClass: ChannelClass, content: ChannelContent): ChannelKind => {
  return { class: channelClass, client: content, server: content };
};
const fromClient = (channelClass: ChannelClass, reads?: 'coreInput' | 'touch'): ChannelKind => {
  const kind = { class: channelClass, client: 'inputs', server: 'open' } as const;
  return reads === undefined ? kind : { ...kind, reads };
};

/** Names in lower case; each with the specification that has it. */
export const channelKinds: Readonly<Record<string, ChannelKind>> = {
  // [MS-RDPECLIP], [MS-RDPEFS] with printers, ports and smart cards, [MS-RDPEA], [MS-RDPERP], [MS-RDPEMC], [MS-RA]
  cliprdr: both('clipboard', 'clipboard'),
  rdpdr: both('devices', 'devices'),
  rdpsnd: both('audio_out', 'open'),
  snddbg: both('control', 'open'),
  rail: both('windows', 'open'),
  rail_ri: both('windows', 'open'),
  rail_wi: both('windows', 'open'),
  encomsp: both('control', 'open'),
  remdesk: both('authentication', 'inputs'),
  // [MS-RDPEDYC]: what is in it is told by the dynamic channel's name.
  drdynvc: both('control', 'open'),
  // [MS-RDPEGFX], [MS-RDPEMSC], [MS-RDPEDISP], [MS-RDPCR2]
  'microsoft::windows::rds::graphics': both('graphics', 'open'),
  'microsoft::windows::rds::mousecursor': both('pointer', 'open'),
  'microsoft::windows::rds::displaycontrol': both('display', 'open'),
  dwmprox: both('graphics', 'open'),
  // [MS-RDPECI], [MS-RDPEI] touch and pen, [MS-RDPETXT]: the server's part of it repeats what is in the text field.
  'microsoft::windows::rds::coreinput': fromClient('inputs', 'coreInput'),
  'microsoft::windows::rds::input': fromClient('inputs', 'touch'),
  input: fromClient('inputs', 'touch'),
  textinput_clienttoserverdvc: both('inputs', 'inputs'),
  textinput_servertoclientdvc: both('inputs', 'inputs'),
  // [MS-RDPEAR], [MS-RDPEWA]
  'microsoft::windows::rds::authredirection': both('authentication', 'inputs'),
  webauthn_channel: both('authentication', 'inputs'),
  // [MS-RDPEA], [MS-RDPEAI], [MS-RDPADRV]
  audio_playback_dvc: both('audio_out', 'open'),
  audio_playback_lossy_dvc: both('audio_out', 'open'),
  audio_playback_dvc_lossy: both('audio_out', 'open'),
  audio_input: fromClient('audio_in'),
  wmsaud: both('control', 'open'),
  wmsdl: both('control', 'open'),
  // [MS-RDPEVOR], [MS-RDPEGT], [MS-RDPEV]
  'microsoft::windows::rds::video::control::v08.01': both('video', 'open'),
  'microsoft::windows::rds::video::data::v08.01': both('video', 'open'),
  'microsoft::windows::rds::geometry::v08.01': both('video', 'open'),
  tsmf: both('video', 'open'),
  // [MS-RDPECAM], [MS-RDPEL]
  rdcamera_device_enumerator: fromClient('camera'),
  'microsoft::windows::rds::location': fromClient('location'),
  // [MS-RDPEPNP], [MS-RDPEUSB], [MS-RDPEXPS]
  pnpdr: both('devices', 'devices'),
  fileredirectorchannel: both('devices', 'devices'),
  urbdrc: both('devices', 'devices'),
  xpsrd: both('devices', 'devices'),
  tsvctkt: both('devices', 'devices'),
  // [MS-RDPET], [MS-RDPEECO]
  'microsoft::windows::rds::telemetry': both('telemetry', 'open'),
  echo: both('control', 'open'),
};

/** Devices have channels of their own with a number behind: [MS-RDPECAM] 2.1. */
const cameraPrefix = 'rdcamera_device_';
const camera = fromClient('camera');
/** Later versions of [MS-RDPEVOR] and [MS-RDPEGT] have another number behind. */
const videoPrefixes = ['microsoft::windows::rds::video::', 'microsoft::windows::rds::geometry::'];
const video = both('video', 'open');
/** Whatever it is, a client may type through it. */
const unknown = fromClient('unknown');

export function channelKind(name: string): ChannelKind {
  const lower = name.toLowerCase();
  if (Object.hasOwn(channelKinds, lower)) return channelKinds[lower]!;
  if (videoPrefixes.some((prefix) => lower.startsWith(prefix))) return video;
  return lower.startsWith(cameraPrefix) ? camera : unknown;
}
