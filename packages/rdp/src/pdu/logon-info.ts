import { Reader } from '@lucid-sessions/wire';
import { textOfUtf16 } from '@lucid-sessions/wire/struct';
import { type SaveSessionInfo, SaveSessionInfoType } from './session-control.ts';

/** Who the server says was logged on. */
export interface LogonInfo {
  domain: string;
  userName: string;
  sessionId: number;
}

/** The user of a Save Session Info PDU; null for the types that name none. Throws `DecodeError`. */
export function readLogonInfo({ infoType, infoData }: SaveSessionInfo): LogonInfo | null {
  const reader = new Reader(infoData);
  if (infoType === SaveSessionInfoType.logon) return logonOf(reader);
  if (infoType === SaveSessionInfoType.logonLong) return logonLongOf(reader);
  return null;
}

/** TS_LOGON_INFO, [MS-RDPBCGR] 2.2.10.1.1.1: fields of fixed size with their used sizes before them. */
function logonOf(reader: Reader): LogonInfo {
  const domainBytes = reader.u32le();
  const domain = reader.slice(52);
  const userNameBytes = reader.u32le();
  const userName = reader.slice(512);
  const sessionId = reader.u32le();
  return {
    domain: cut(textOfUtf16(domain.subarray(0, Math.min(52, domainBytes)))),
    userName: cut(textOfUtf16(userName.subarray(0, Math.min(512, userNameBytes)))),
    sessionId,
  };
}

/** TS_LOGON_INFO_VERSION_2, [MS-RDPBCGR] 2.2.10.1.1.2. */
function logonLongOf(reader: Reader): LogonInfo {
  reader.skip(6);
  const sessionId = reader.u32le();
  const domainBytes = reader.u32le();
  const userNameBytes = reader.u32le();
  reader.skip(558);
  const domain = textOfUtf16(reader.slice(domainBytes));
  return { domain: cut(domain), userName: cut(textOfUtf16(reader.slice(userNameBytes))), sessionId };
}

const cut = (text: string): string => (text.split('\0')[0] ?? '').slice(0, 256);
