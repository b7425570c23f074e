import type { Codec, Reader } from '@lucid-sessions/wire';
import { ASN1_SEQUENCE, BerReader, BerWriter } from '../pdu/ber.ts';
import { utf16Bytes, utf16Text } from './text.ts';

/** credType, [MS-CSSP] 2.2.1.2. */
export const CredentialType = { password: 1, smartCard: 2, remoteGuard: 6 } as const;

/** TSCredentials, [MS-CSSP] 2.2.1.2: as secret as what is in it. */
export type TsCredentials =
  /** TSPasswordCreds; three empty fields in restricted admin mode. */
  | { credType: 1; domain: string; user: string; password: string; forms?: number[]; innerForms?: number[] }
  /** What is in it is of no use here. */
  | { credType: number; credentials: Uint8Array; forms?: number[] };

const context = (number: number): number => 0xa0 | number;

function readText(ber: BerReader, reader: Reader, number: number): string {
  const inner = ber.enter(reader, context(number));
  const bytes = ber.octets(inner);
  inner.expectEnd('TSPasswordCreds field');
  if (bytes.length % 2 !== 0) throw reader.error('invalid', 'a text of an odd number of bytes');
  return utf16Text(bytes);
}

function readPassword(reader: Reader, forms: { forms?: number[] }): TsCredentials {
  const ber = new BerReader();
  const content = ber.enter(reader, ASN1_SEQUENCE);
  const domain = readText(ber, content, 0);
  const user = readText(ber, content, 1);
  const password = readText(ber, content, 2);
  content.expectEnd('TSPasswordCreds');
  reader.expectEnd('TSPasswordCreds');
  const innerForms = ber.forms();
  return { credType: 1, domain, user, password, ...forms, ...(innerForms ? { innerForms } : {}) };
}

export const tsCredentials: Codec<TsCredentials> = {
  name: 'TSCredentials',
  decode(reader) {
    const ber = new BerReader();
    const content = ber.enter(reader, ASN1_SEQUENCE);
    const type = ber.enter(content, context(0));
    const credType = ber.integer(type);
    type.expectEnd('credType');
    const field = ber.enter(content, context(1));
    const inner = ber.enter(field, 0x04);
    field.expectEnd('credentials');
    content.expectEnd('TSCredentials');
    const found = ber.forms();
    const forms = found ? { forms: found } : {};
    if (credType === CredentialType.password) return readPassword(inner, forms);
    return { credType, credentials: inner.copy(inner.remaining), ...forms };
  },
  encode(value, writer) {
    const ber = new BerWriter(value.forms);
    ber.element(writer, ASN1_SEQUENCE, (out) => {
      ber.element(out, context(0), (inner) => ber.integer(inner, value.credType));
      ber.element(out, context(1), (field) =>
        ber.element(field, 0x04, (inner) => {
          if ('credentials' in value) {
            inner.slice(value.credentials);
            return;
          }
          const password = new BerWriter(value.innerForms);
          password.element(inner, ASN1_SEQUENCE, (fields) =>
            [value.domain, value.user, value.password].forEach((text, number) => {
              password.element(fields, context(number), (one) => password.octets(one, utf16Bytes(text)));
            }),
          );
        }),
      );
    });
  },
};
