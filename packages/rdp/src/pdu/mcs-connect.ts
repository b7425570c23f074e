import type { Codec, Reader, Writer } from '@lucid-sessions/wire';
import { ASN1_ENUMERATED, ASN1_SEQUENCE, BerReader, BerWriter } from './ber.ts';

/** Application tags of T.125 ConnectMCSPDU. */
const CONNECT_INITIAL = 0x7f65;
const CONNECT_RESPONSE = 0x7f66;

/** T.125 section 7, DomainParameters: eight numbers in wire order. */
export interface DomainParameters {
  maxChannelIds: number;
  maxUserIds: number;
  maxTokenIds: number;
  numPriorities: number;
  minThroughput: number;
  maxHeight: number;
  maxMcsPduSize: number;
  protocolVersion: number;
}

/** MCS Connect Initial, [MS-RDPBCGR] 2.2.1.3. `userData` is a GCC Conference Create Request. */
export interface McsConnectInitial {
  callingDomainSelector: Uint8Array;
  calledDomainSelector: Uint8Array;
  upwardFlag: number;
  targetParameters: DomainParameters;
  minimumParameters: DomainParameters;
  maximumParameters: DomainParameters;
  userData: Uint8Array;
  /** BER forms of the peer where they aren't minimal; drop it when building a PDU of your own. */
  forms?: number[];
  /** What some peers leave behind the PDU. */
  trailing?: Uint8Array;
}

/** MCS Connect Response, [MS-RDPBCGR] 2.2.1.4. `userData` is a GCC Conference Create Response. */
export interface McsConnectResponse {
  /** 0 is rt-successful. */
  result: number;
  calledConnectId: number;
  domainParameters: DomainParameters;
  userData: Uint8Array;
  forms?: number[];
  trailing?: Uint8Array;
}

const PARAMETER_NAMES = [
  'maxChannelIds',
  'maxUserIds',
  'maxTokenIds',
  'numPriorities',
  'minThroughput',
  'maxHeight',
  'maxMcsPduSize',
  'protocolVersion',
] as const;

function readParameters(ber: BerReader, reader: Reader): DomainParameters {
  const content = ber.enter(reader, ASN1_SEQUENCE);
  const value: Partial<DomainParameters> = {};
  for (const name of PARAMETER_NAMES) value[name] = ber.integer(content);
  content.expectEnd('domain parameters');
  return value as DomainParameters;
}

function writeParameters(ber: BerWriter, writer: Writer, value: DomainParameters): void {
  ber.element(writer, ASN1_SEQUENCE, (inner) => {
    for (const name of PARAMETER_NAMES) ber.integer(inner, value[name]);
  });
}

function withRest<T extends object>(
  value: T,
  ber: BerReader,
  reader: Reader,
): T & { forms?: number[]; trailing?: Uint8Array } {
  const forms = ber.forms();
  const trailing = reader.remaining > 0 ? { trailing: reader.rest() } : {};
  return forms ? { ...value, forms, ...trailing } : { ...value, ...trailing };
}

export const mcsConnectInitial: Codec<McsConnectInitial> = {
  name: 'MCS Connect Initial',
  decode(reader) {
    const ber = new BerReader();
    const content = ber.enter(reader, CONNECT_INITIAL);
    const value: McsConnectInitial = {
      callingDomainSelector: ber.octets(content),
      calledDomainSelector: ber.octets(content),
      upwardFlag: ber.boolean(content),
      targetParameters: readParameters(ber, content),
      minimumParameters: readParameters(ber, content),
      maximumParameters: readParameters(ber, content),
      userData: ber.octets(content),
    };
    content.expectEnd('MCS Connect Initial');
    return withRest(value, ber, reader);
  },
  encode(value, writer) {
    const ber = new BerWriter(value.forms);
    ber.element(writer, CONNECT_INITIAL, (inner) => {
      ber.octets(inner, value.callingDomainSelector);
      ber.octets(inner, value.calledDomainSelector);
      ber.boolean(inner, value.upwardFlag);
      writeParameters(ber, inner, value.targetParameters);
      writeParameters(ber, inner, value.minimumParameters);
      writeParameters(ber, inner, value.maximumParameters);
      ber.octets(inner, value.userData);
    });
    if (value.trailing) writer.slice(value.trailing);
  },
};

export const mcsConnectResponse: Codec<McsConnectResponse> = {
  name: 'MCS Connect Response',
  decode(reader) {
    const ber = new BerReader();
    const content = ber.enter(reader, CONNECT_RESPONSE);
    const value: McsConnectResponse = {
      result: ber.integer(content, ASN1_ENUMERATED),
      calledConnectId: ber.integer(content),
      domainParameters: readParameters(ber, content),
      userData: ber.octets(content),
    };
    content.expectEnd('MCS Connect Response');
    return withRest(value, ber, reader);
  },
  encode(value, writer) {
    const ber = new BerWriter(value.forms);
    ber.element(writer, CONNECT_RESPONSE, (inner) => {
      ber.integer(inner, value.result, ASN1_ENUMERATED);
      ber.integer(inner, value.calledConnectId);
      writeParameters(ber, inner, value.domainParameters);
      ber.octets(inner, value.userData);
    });
    if (value.trailing) writer.slice(value.trailing);
  },
};
