/** The .rdp file a user opens: it leads to the gateway, and its load-balance token names the session. */
import type { ChannelRules, RdpConfig, SessionDocument } from '@lucid-sessions/contract';

/** 256 bits. */
export const routeTokenBytes = 32;

/** Lines of the file are separated by line breaks: none may come from a name. */
const oneLine = (text: string) => text.replace(/\p{Cc}/gu, '');

const hostOf = (host: string) => (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host);

export const addressOf = ({ host, port }: { host: string; port: number }): string => `${hostOf(host)}:${port}`;

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

/**
 * What opens the session: a token in the file, which is a secret then, or a credential of the gateway, of which it holds the user
 * name alone.
 */
export type RdpKey = { kind: 'token'; token: string } | { kind: 'credential'; user: string };

/** Where the file leads, and the token that opens its session. */
function wayLines(
  { kind, host, port }: RdpWay,
  { host: target, port: targetPort }: RdpConfig,
  token: string | null,
): string[] {
  if (token === null) return [`full address:s:${hostOf(host)}:${port}`, 'authentication level:i:2'];
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

/** Who logs on, and where: to the target through the gateway's TLS, or to the gateway by network level authentication. */
function logonLines(key: RdpKey, { domain, username }: RdpConfig): string[] {
  // Asked for each time: a credential is of one session, and what a client has saved for the gateway is of another.
  if (key.kind === 'credential')
    return [`username:s:${key.user}`, 'enablecredsspsupport:i:1', 'prompt for credentials:i:1'];
  const user = [domain, username].filter(Boolean).join('\\');
  return [
    ...(user === '' ? [] : [`username:s:${oneLine(user)}`]),
    // The gateway speaks TLS towards the client; the password goes to the target inside of it.
    'enablecredsspsupport:i:0',
    'prompt for credentials:i:0',
  ];
}

export function rdpFile(session: SessionDocument, way: RdpWay, key: RdpKey): string {
  const { rdp_config: rdp, recording_config: recording } = session;
  const [width, height] = recording.resolution.split('x');
  const lines = [
    ...wayLines(way, rdp, key.kind === 'token' ? key.token : null),
    ...logonLines(key, rdp),
    `desktopwidth:i:${width}`,
    `desktopheight:i:${height}`,
    'session bpp:i:32',
    `audiomode:i:${recording.audio_enabled && rdp.channels?.audio !== false ? 0 : 2}`,
    // The same file continues the session after a lost connection, unless the session says that it ends then.
    `autoreconnection enabled:i:${recording.reconnect_seconds === 0 ? 0 : 1}`,
    // Bitmaps the client has on its disk never cross the wire: no recording could show them.
    ...redirections(rdp.channels ?? {}),
    ...(rdp.leave_in?.includes('bitmap_cache') ? [] : ['bitmapcachepersistenable:i:0']),
  ];
  return `${lines.join('\r\n')}\r\n`;
}
