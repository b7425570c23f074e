import { concatBytes, DecodeError } from '@lucid-sessions/wire';
import { fromBase64, toBase64, utf8 } from '../text.ts';
import { encodeJson, parseCanonicalJson } from './json.ts';
import { keyIdOf, type Signer } from './public-key.ts';
import { array, hex, object, string } from './schema.ts';

/** DSSE v1.0.2: a payload, its type, and signatures over both. */
export interface DsseEnvelope {
  payloadType: string;
  payload: Uint8Array;
  signatures: { keyId: string; signature: Uint8Array }[];
}

export const RECORD_BYTES_MAX = 4 << 20;
const SIGNATURES_MAX = 8;

export const envelopeSchema = object({
  payload: string(RECORD_BYTES_MAX),
  payloadType: string(200),
  signatures: array(object({ keyid: hex(32), sig: string(200) }), SIGNATURES_MAX),
});

/** PAE(type, body) = "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body: what is signed. */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = utf8(payloadType);
  return concatBytes(utf8(`DSSEv1 ${type.length} `), type, utf8(` ${payload.length} `), payload);
}

/** The envelope in canonical JSON. */
export function encodeDsse(envelope: DsseEnvelope): Uint8Array {
  return encodeJson({
    payload: toBase64(envelope.payload),
    payloadType: envelope.payloadType,
    signatures: envelope.signatures.map(({ keyId, signature }) => ({ keyid: keyId, sig: toBase64(signature) })),
  });
}

/** Throws `DecodeError`. */
export function decodeDsse(bytes: Uint8Array): DsseEnvelope {
  const raw = envelopeSchema.parse(parseCanonicalJson(bytes, RECORD_BYTES_MAX), 'envelope');
  if (raw.signatures.length === 0) throw new DecodeError('invalid', 'the envelope holds no signature');
  return {
    payloadType: raw.payloadType,
    payload: fromBase64(raw.payload, 'payload'),
    signatures: raw.signatures.map(({ keyid, sig }) => ({ keyId: keyid, signature: fromBase64(sig, 'signature') })),
  };
}

export async function signDsse(signer: Signer, payloadType: string, payload: Uint8Array): Promise<Uint8Array> {
  const signature = await signer.sign(preAuthEncoding(payloadType, payload));
  return encodeDsse({ payloadType, payload, signatures: [{ keyId: keyIdOf(signer.publicKey), signature }] });
}
