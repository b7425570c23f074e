/** Reads the server's share PDUs a relay sees whole. Zeroes secrets in the bytes it is given: give it a copy. */
import {
  CompressionFlag,
  demandActive,
  enhancedServerRedirection,
  errorInfoText,
  PduType,
  PduType2,
  RedirectionFlag,
  readLogonInfo,
  SaveSessionInfoType,
  SECURITY_HEADER_BYTES,
  SecurityFlag,
  type ServerRedirection,
  type ShareControlPdu,
  saveSessionInfo,
  serverRedirection,
  setErrorInfo,
  shareControlPdu,
  shareDataPdu,
} from '@lucid-sessions/rdp';
import { DecodeError, decode, Reader } from '@lucid-sessions/wire';
import { textOfUtf16 } from '@lucid-sessions/wire/struct';
import { type Canvas, canvasOf } from './canvas.ts';
import type { CompressedSecrets } from './compressed-secrets.ts';
import { type Undrawable, undrawableOf } from './confirm-active.ts';
import type { RelayEvent } from './events.ts';
import { blankReconnectSecret, RECONNECT_SECRET } from './secrets.ts';
import { isSecurityHeader } from './security-header.ts';

export interface ServerShare {
  /** Of the last Demand Active in it, null when there is none. */
  shareId: number | null;
  blanked: boolean;
  /** All of a compressed body was zeroed: where its secret stands could not be told. */
  unread: boolean;
  redirected: boolean;
  /** The client was sent elsewhere by it. */
  sentOn: boolean;
  /** Of the last Demand Active too. */
  undrawable: Undrawable | null;
  /** The same; null also where a share was ended and none begun. */
  canvas: Canvas | null;
  deactivated: boolean;
  /** The client has all it needs to be drawn on: the last PDU of the connection's finalization. */
  finalized: boolean;
}

/** Looks through the MCS data of one PDU on the I/O channel. What does not decode is left to the client to judge. */
export function readServerShare(data: Uint8Array, events: RelayEvent[], compressed: CompressedSecrets): ServerShare {
  const found: ServerShare = {
    shareId: null,
    blanked: false,
    unread: false,
    redirected: false,
    undrawable: null,
    canvas: null,
    deactivated: false,
    finalized: false,
    sentOn: false,
  };
  const { shares, whole } = readShares(data);
  if (!whole && isSecurityHeader(data, SecurityFlag.redirectionPkt)) {
    const redirection = standardRedirection(data);
    if (redirection !== null) {
      readRedirection(redirection, found, events);
      return found;
    }
  }
  for (const share of shares) readShare(share, found, events, compressed);
  return found;
}

/** Each by itself: what one of them is, or what stands behind the last, hides no other. */
function readShares(data: Uint8Array): { shares: ShareControlPdu[]; whole: boolean } {
  const shares: ShareControlPdu[] = [];
  const reader = new Reader(data);
  const whole = guarded(() => {
    while (reader.remaining > 0) shares.push(shareControlPdu.decode(reader));
  });
  return { shares, whole };
}

/** Standard Security Server Redirection ([MS-RDPBCGR] 2.2.13.2.1), behind a security header or in its place. */
function standardRedirection(data: Uint8Array): ServerRedirection | null {
  let found: ServerRedirection | null = null;
  for (const offset of [0, SECURITY_HEADER_BYTES])
    guarded(() => {
      const redirection = serverRedirection.decode(new Reader(data, offset));
      if (Object.keys(redirection.fields).length > 0) found ??= redirection;
    });
  return found;
}

function readShare(
  share: ShareControlPdu,
  found: ServerShare,
  events: RelayEvent[],
  compressed: CompressedSecrets,
): void {
  switch (share.pduType & 15) {
    case PduType.demandActive:
      guarded(() => readDemandActive(share.body, found, events));
      return;
    case PduType.deactivateAll:
      found.deactivated = true;
      found.finalized = false;
      found.canvas = null;
      return;
    case PduType.serverRedirection:
      // A client may understand what is not understood here, and follow it past the recording.
      if (
        !guarded(() =>
          readRedirection(enhancedServerRedirection.decode(new Reader(share.body)).redirection, found, events),
        )
      )
        unreadRedirection(share.body, found, events);
      return;
    case PduType.data:
      guarded(() => readData(share.body, found, events, compressed));
  }
}

/** False where the bytes are not what they should be. */
function guarded(work: () => void): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (error instanceof DecodeError) return false;
    throw error;
  }
}

function unreadRedirection(body: Uint8Array, found: ServerShare, events: RelayEvent[]): void {
  body.fill(0);
  events.push({ kind: 'redirection', target: 'another host', redirection: null });
  found.blanked = true;
  found.redirected = true;
  found.sentOn = true;
}

function readDemandActive(body: Uint8Array, found: ServerShare, events: RelayEvent[]): void {
  const { shareId, capabilitySets } = decode(demandActive, body);
  found.shareId = shareId;
  found.finalized = false;
  found.undrawable = undrawableOf(capabilitySets);
  found.canvas = canvasOf(capabilitySets);
  for (const set of capabilitySets)
    if (set.kind === 'bitmap')
      events.push({ kind: 'activated', shareId, desktopWidth: set.desktopWidth, desktopHeight: set.desktopHeight });
}

function readRedirection(redirection: ServerRedirection, found: ServerShare, events: RelayEvent[]): void {
  const { fields } = redirection;
  // What only tells where the session is, for another time, is kept from the client as well: it would come back past the gateway.
  found.sentOn = (redirection.redirFlags & RedirectionFlag.noRedirect) === 0;
  if (found.sentOn) {
    const target = fields.targetFqdn ?? fields.targetNetAddress ?? fields.targetNetbiosName;
    const name = target === undefined ? 'another host' : cut(textOfUtf16(target));
    events.push({ kind: 'redirection', target: name, redirection: copyOf(redirection) });
  }
  fields.password?.fill(0);
  fields.redirectionGuid?.fill(0);
  found.blanked = true;
  found.redirected = true;
}

/** What is read here is blanked afterwards. */
const copyOf = ({ fields, ...rest }: ServerRedirection): ServerRedirection => ({
  ...rest,
  fields: Object.fromEntries(Object.entries(fields).map(([name, bytes]) => [name, new Uint8Array(bytes)])),
});

function readData(body: Uint8Array, found: ServerShare, events: RelayEvent[], compressed: CompressedSecrets): void {
  const { pduType2, compressedType, data } = decode(shareDataPdu, body);
  if (pduType2 === PduType2.fontMap) found.finalized = true;
  if ((compressedType & CompressionFlag.compressed) !== 0) {
    if (pduType2 === PduType2.saveSessionInfo) blankCompressed(data, compressedType, found, compressed);
    else compressed.follow(data, compressedType);
    return;
  }
  if (pduType2 === PduType2.setErrorInfo) {
    const { errorInfo } = decode(setErrorInfo, data);
    if (errorInfo !== 0) events.push({ kind: 'error_info', code: errorInfo, text: errorInfoText(errorInfo) });
  }
  if (pduType2 === PduType2.saveSessionInfo) readSaveSessionInfo(data, found, events);
}

/** Save Session Info whose type is not told by what stands in the payload may hold the secret as well. */
function blankCompressed(data: Uint8Array, flags: number, found: ServerShare, compressed: CompressedSecrets): void {
  const literals = compressed.literals(data, flags, RECONNECT_SECRET.end);
  if (literals === null) {
    data.fill(0);
    found.blanked = true;
    found.unread = true;
    return;
  }
  const type = literals.slice(0, 4).reduce((sum, { position, value }) => sum + value * 256 ** position, 0);
  const isTold = literals[3]?.position === 3;
  if (isTold && type !== SaveSessionInfoType.logonExtendedInfo) return;
  for (const { position, clear } of literals) if (position >= RECONNECT_SECRET.start) clear();
  found.blanked = true;
}

function readSaveSessionInfo(data: Uint8Array, found: ServerShare, events: RelayEvent[]): void {
  const info = decode(saveSessionInfo, data);
  const { infoType, infoData } = info;
  if (infoType === SaveSessionInfoType.logonExtendedInfo && blankReconnectSecret(infoData)) found.blanked = true;
  const logon = readLogonInfo(info);
  if (logon !== null) events.push({ kind: 'logon', ...logon });
}

const cut = (text: string): string => (text.split('\0')[0] ?? '').slice(0, 256);
