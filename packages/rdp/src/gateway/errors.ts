/**
 * What an RD Gateway answers instead of yes, [MS-TSGU] 2.2.6: HRESULTs that mstsc shows in words and FreeRDP by name. Codes that
 * the specification gives as Win32 codes are here as the HRESULTs they become.
 */
export const GatewayError = {
  ok: 0,
  /** Something failed here. */
  internal: 0x800759d8,
  /** Not authorised for this host. */
  resourceAccessDenied: 0x800759da,
  /** Not authorised for this gateway. */
  gatewayAccessDenied: 0x800759db,
  /** The host can't be reached. */
  targetConnectFailed: 0x800759dd,
  /** The connection is over. */
  alreadyDisconnected: 0x800759df,
  /** Too many are here; later. */
  connectionsMaxReached: 0x800759e6,
  notSupported: 0x800759e8,
  capabilityMismatch: 0x800759e9,
  sessionTimeout: 0x800759f6,
  cookieBadPacket: 0x800759f7,
  cookieAccessDenied: 0x800759f8,
  unsupportedAuthentication: 0x800759f9,
} as const;
export type GatewayErrorCode = (typeof GatewayError)[keyof typeof GatewayError];
