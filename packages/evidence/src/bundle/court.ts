import { encodeJson, parseJson } from '../record/json.ts';
import { hex, integer, literal, nullable, object, string } from '../record/schema.ts';
import { toBase64, utf8 } from '../text.ts';

/**
 * A court file: one HTML document with a player, a verifier and a bundle (a tar file in base64), which opens without a server or a
 * network. It is a way to carry a bundle, and no part of the evidence: what its program says is worth what its SHA-256, told
 * by another way, vouches for.
 */
const courtFactsSchema = object({
  v: literal(1),
  session_id: string(100, /^[A-Za-z0-9_-]{1,100}$/),
  made_us: integer(),
  software: string(200),
  /** Name of the bundle's file beside the document; null: it is inside. */
  evidence: nullable(string(200)),
  /** Opens the pictures of this one recording, and nothing that was typed; null: whoever looks must have it. */
  view_key: nullable(hex(32)),
});
export interface CourtFileFacts {
  v: 1;
  session_id: string;
  made_us: number;
  software: string;
  evidence: string | null;
  view_key: string | null;
}

/** Where the template takes what belongs to one recording. */
export const COURT_PLACE = '<!--lucid-court-->';
export const COURT_FACTS_ID = 'court-facts';
export const COURT_EVIDENCE_CLASS = 'court-evidence';
/** Base64 without padding between pieces. */
const PIECE_BYTES = 3 << 20;

/** Reads what a court file says of itself. Throws `DecodeError`. */
export const parseCourtFacts = (text: string): CourtFileFacts =>
  courtFactsSchema.parse(parseJson(utf8(text), 10_000), 'facts');

/**
 * The document, in pieces. `bundle`: the bytes of its tar file; null: they stay in the file `facts.evidence` names. Throws `RangeError`
 * when the template is none.
 */
export async function* courtDocument(
  template: string,
  facts: CourtFileFacts,
  bundle: AsyncIterable<Uint8Array> | null,
): AsyncGenerator<string, void, undefined> {
  const at = template.indexOf(COURT_PLACE);
  if (at < 0) throw new RangeError('the template of a court file has no place for the recording');
  yield template.slice(0, at);
  // JSON in a script element ends at the first "<".
  const json = new TextDecoder().decode(encodeJson(facts)).replaceAll('<', '\\u003c');
  yield `<script type="application/json" id="${COURT_FACTS_ID}">${json}</script>\n`;
  if (bundle !== null) yield* evidenceElements(bundle);
  yield template.slice(at + COURT_PLACE.length);
}

async function* evidenceElements(bundle: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const element = (bytes: Uint8Array): string =>
    `<script type="application/octet-stream" class="${COURT_EVIDENCE_CLASS}">${toBase64(bytes)}</script>\n`;
  const piece = new Uint8Array(PIECE_BYTES);
  let filled = 0;
  for await (const part of bundle)
    for (let from = 0; from < part.length; ) {
      const taken = Math.min(part.length - from, PIECE_BYTES - filled);
      piece.set(part.subarray(from, from + taken), filled);
      from += taken;
      filled += taken;
      if (filled === PIECE_BYTES) yield element(piece);
      filled %= PIECE_BYTES;
    }
  if (filled > 0) yield element(piece.subarray(0, filled));
}
