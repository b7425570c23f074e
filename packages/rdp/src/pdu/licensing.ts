import { type Codec, DecodeError, type Reader, type Writer } from '@lucid-sessions/wire';

/** bMsgType of a licensing preamble, [MS-RDPBCGR] 2.2.1.12.1.1 and [MS-RDPELE] 2.2.2. */
export const LicenseMessageType = {
  licenseRequest: 0x01,
  platformChallenge: 0x02,
  newLicense: 0x03,
  upgradeLicense: 0x04,
  licenseInfo: 0x12,
  newLicenseRequest: 0x13,
  platformChallengeResponse: 0x15,
  errorAlert: 0xff,
} as const;

/** dwErrorCode and dwStateTransition that end licensing without a license. */
export const LICENSE_STATUS_VALID_CLIENT = 7;
export const LICENSE_STATE_NO_TRANSITION = 2;
const LICENSE_BLOB_ERROR = 4;
const LICENSE_PREAMBLE_BYTES = 4;

/** LICENSE_ERROR_MESSAGE, [MS-RDPBCGR] 2.2.1.12.1.3 */
export interface LicenseError {
  errorCode: number;
  stateTransition: number;
  blobType: number;
  blob: Uint8Array;
}

/** One licensing PDU after its security header. Everything but errors is kept as bytes: it is relayed, never made. */
export interface LicensePdu {
  messageType: number;
  flags: number;
  body: { kind: 'error'; error: LicenseError; trailing?: Uint8Array } | { kind: 'opaque'; data: Uint8Array };
}

function readLicenseError(reader: Reader): LicensePdu['body'] {
  const errorCode = reader.u32le();
  const stateTransition = reader.u32le();
  const blobType = reader.u16le();
  const error = { errorCode, stateTransition, blobType, blob: reader.slice(reader.u16le()) };
  return reader.remaining > 0 ? { kind: 'error', error, trailing: reader.rest() } : { kind: 'error', error };
}

function writeLicenseBody(body: LicensePdu['body'], writer: Writer): void {
  if (body.kind === 'opaque') {
    writer.slice(body.data);
    return;
  }
  const { errorCode, stateTransition, blobType, blob } = body.error;
  writer.u32le(errorCode).u32le(stateTransition).u16le(blobType).u16le(blob.length).slice(blob);
  if (body.trailing) writer.slice(body.trailing);
}

export const licensePdu: Codec<LicensePdu> = {
  name: 'licensing PDU',
  decode(reader) {
    const at = reader.offset;
    const messageType = reader.u8();
    const flags = reader.u8();
    const length = reader.u16le();
    if (length < LICENSE_PREAMBLE_BYTES) throw new DecodeError('invalid', `licensing length ${length} below 4`, at);
    const content = reader.sub(length - LICENSE_PREAMBLE_BYTES);
    const body: LicensePdu['body'] =
      messageType === LicenseMessageType.errorAlert
        ? readLicenseError(content)
        : { kind: 'opaque', data: content.rest() };
    return { messageType, flags, body };
  },
  encode(value, writer) {
    const at = writer.length;
    writer.u8(value.messageType).u8(value.flags).u16le(0);
    writeLicenseBody(value.body, writer);
    writer.patchU16le(at + 2, writer.length - at);
  },
};

/** What a server without licensing sends: the client is valid. */
export function validClientLicense(): LicensePdu {
  const error = {
    errorCode: LICENSE_STATUS_VALID_CLIENT,
    stateTransition: LICENSE_STATE_NO_TRANSITION,
    blobType: LICENSE_BLOB_ERROR,
    blob: new Uint8Array(0),
  };
  return { messageType: LicenseMessageType.errorAlert, flags: 3, body: { kind: 'error', error } };
}
