/** The .rdp file a user opens: it leads to the gateway, and its load-balance token names the session. */
import type { ChannelRules, RdpConfig, SessionDocument } from '@lucid-sessions/contract';

/** 256 bits. */
export const routeTokenBytes = 32;

/** Lines of the file are separated by line breaks: none may come from a name. */
const oneLine = (text: string) => text.replace(/\p{Cc}/gu, '');

const hostOf = (host: string) => (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host);

/** What the policy refuses need not be offered: the client's user is not asked for it. */
function redirections({ clipboard, clipboard_files, ...rules }: ChannelRules): string[] {
  const lines: readonly (readonly [boolean | undefined, string])[] = [
    [rules.drives, 'drivestoredirect:s:'],
    [rules.printers, 'redirectprinters:i:0'],
    [rules.ports, 'redirectcomports:i:0'],
    [rules.smart_cards, 'redirectsmartcards:i:0'],
    [rules.microphone, 'audiocapturemode:i:0'],
    [rules.camera, 'camerastoredirect:s:'],
    [rules.usb, 'usbdevicestoredirect:s:'],
    [rules.location, 'redirectlocation:i:0'],
    [!(clipboard === 'off' && clipboard_files === 'off'), 'redirectclipboard:i:0'],
  ];
  return lines.flatMap(([isAllowed, line]) => (isAllowed === false ? [line] : []));
}

export interface RdpWay {
  /** `listener`: the client speaks RDP to `host`. `gateway`: it speaks HTTPS to it, as to an RD Gateway. */
  kind: 'listener' | 'gateway';
  host: string;
  port: number;
}

/** Where the file leads, and the token that opens its session. */
function wayLines(
  { kind, host, port }: RdpWay,
  { host: target, port: targetPort }: RdpConfig,
  token: string,
): string[] {
  if (kind === 'listener')
    return [
      `full address:s:${hostOf(host)}:${port}`,
      // Sent in the X.224 connection request before anything else ([MS-RDPBCGR] 2.2.1.1, routingToken).
      `loadbalanceinfo:s:Cookie: msts=${token}`,
      'authentication level:i:2',
    ];
  return [
    `full address:s:${hostOf(target)}:${targetPort}`,
    `gatewayhostname:s:${hostOf(host)}:${port}`,
    'gatewayusagemethod:i:1',
    'gatewayprofileusagemethod:i:1',
    // By the token as cookie ([MS-TSGU] 2.2.10.19, PAACookie).
    'gatewaycredentialssource:i:5',
    `gatewayaccesstoken:s:${token}`,
    // The gateway has shown its certificate outside already, which clients insist on; inside no certificate of ours can have the target's name.
    'authentication level:i:0',
  ];
}

export function rdpFile(session: SessionDocument, way: RdpWay, token: string): string {
  const { rdp_config: rdp, recording_config: recording } = session;
  const [width, height] = recording.resolution.split('x');
  const user = [rdp.domain, rdp.username].filter(Boolean).join('\\');
  const lines = [
    ...wayLines(way, rdp, token),
    ...(user === '' ? [] : [`username:s:${oneLine(user)}`]),
    `desktopwidth:i:${width}`,
    `desktopheight:i:${height}`,
    'session bpp:i:32',
    // The gateway speaks TLS towards the client; the password goes to the target inside of it.
    'enablecredsspsupport:i:0',
    'prompt for credentials:i:0',
    `audiomode:i:${recording.audio_enabled && rdp.channels?.audio !== false ? 0 : 2}`,
    // The same file continues the session after a lost connection, unless the session says that it ends then.
    `autoreconnection enabled:i:${recording.reconnect_seconds === 0 ? 0 : 1}`,
    // Bitmaps the client has on its disk never cross the wire: no recording could show them.
    ...redirections(rdp.channels ?? {}),
    ...(rdp.leave_in?.includes('bitmap_cache') ? [] : ['bitmapcachepersistenable:i:0']),
  ];
  return `${lines.join('\r\n')}\r\n`;
}
