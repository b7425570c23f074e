/** Client Info with the gateway's logon in the place of the client's: who logs on to the target is not who sits there. */
import { type ClientInfo, clientInfoPdu, InfoFlag } from '@lucid-sessions/rdp';
import { attempt, decode, encode } from '@lucid-sessions/wire';

export interface PutInLogon {
  userName: string;
  domain: string;
  /** Empty where the target has had it already, by network level authentication. */
  password: string;
}

/** In the place of what a client logged on to the gateway with: the target asks for itself. */
export const nobody: PutInLogon = { userName: '', domain: '', password: '' };

/** For a person. */
export const logonName = ({ userName, domain }: PutInLogon): string =>
  domain === '' ? userName : `${domain}\\${userName}`;

/** Of a smart card's PIN in the password, and of credentials the client had saved. */
const clientsOwn = InfoFlag.passwordIsScPin | InfoFlag.usingSavedCreds;

/**
 * The data of a Client Info PDU as the target gets it: user, domain and password are the gateway's, the client's automatic
 * reconnection cookie (it is its own where nobody logs on) and what the specification does not know are gone, everything else stays. Always in Unicode, for no code
 * page has every name. Null where it can't be read.
 */
export function putInLogon(data: Uint8Array, { userName, domain, password }: PutInLogon): Uint8Array | null {
  const pdu = attempt(() => decode(clientInfoPdu, data));
  if (pdu === null) return null;
  const isNobody = userName === '';
  const { codePage, flags, alternateShell, workingDir, extended } = pdu.info;
  const info: ClientInfo = {
    // In Unicode it is the input locale.
    codePage: (flags & InfoFlag.unicode) === 0 ? 0 : codePage,
    flags: isNobody
      ? ((flags | InfoFlag.unicode) & ~(clientsOwn | InfoFlag.autologon)) >>> 0
      : ((flags | InfoFlag.unicode | InfoFlag.autologon) & ~clientsOwn) >>> 0,
    userName,
    domain,
    password,
    alternateShell: withoutTerminator(alternateShell),
    workingDir: withoutTerminator(workingDir),
  };
  if (extended !== undefined) {
    const { trailing: _unknown, ...known } = extended;
    const { autoReconnectCookie } = known;
    info.extended =
      autoReconnectCookie === undefined || isNobody ? known : { ...known, autoReconnectCookie: new Uint8Array(0) };
  }
  return encode(clientInfoPdu, { ...pdu, info });
}

/** Some count it into the length. */
const withoutTerminator = (text: string): string => text.replace(/\0+$/, '');
