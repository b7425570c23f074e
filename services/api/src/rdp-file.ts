/** The .rdp file a user opens: it leads to the gateway, and its load-balance token names the session. */
import type { ChannelRules, SessionDocument } from '@lucid-sessions/contract';

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

export function rdpFile(session: SessionDocument, gateway: { host: string; port: number }, token: string): string {
  const { rdp_config: rdp, recording_config: recording } = session;
  const [width, height] = recording.resolution.split('x');
  const user = [rdp.domain, rdp.username].filter(Boolean).join('\\');
  const lines = [
    `full address:s:${hostOf(gateway.host)}:${gateway.port}`,
    // Sent in the X.224 connection request before anything else ([MS-RDPBCGR] 2.2.1.1, routingToken).
    `loadbalanceinfo:s:Cookie: msts=${token}`,
    ...(user === '' ? [] : [`username:s:${oneLine(user)}`]),
    `desktopwidth:i:${width}`,
    `desktopheight:i:${height}`,
    'session bpp:i:32',
    // The gateway speaks TLS towards the client; the password goes to the target inside of it.
    'enablecredsspsupport:i:0',
    'authentication level:i:2',
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
