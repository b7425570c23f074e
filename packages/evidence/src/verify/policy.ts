import { DecodeError, equalBytes } from '@lucid-sessions/wire';
import { readAuthority, type StampAlgorithm, stampAlgorithms, type TimestampAuthority } from '../anchor/timestamp.ts';
import { parseSignedCheckpoint, type SignedCheckpoint } from '../log/checkpoint.ts';
import { type NoteKey, noteAlgorithms, parseNoteKey } from '../log/note.ts';
import { parseJson } from '../record/json.ts';
import { type PublicKey, parsePublicKey } from '../record/public-key.ts';
import { array, boolean, hex, integer, literal, object, string } from '../record/schema.ts';
import { fromBase64 } from '../text.ts';

/** Whom the caller of the verifier trusts. Never read from a bundle. */
export interface TrustPolicy {
  /** Keys that may sign records, each for records of a span of time (µs since 1970). */
  identityKeys: { key: PublicKey; validFromUs: number; validToUs: number }[];
  logKeys: NoteKey[];
  witnesses: NoteKey[];
  /** Cosignatures of different witnesses that checkpoints of manifest and erase records must carry. */
  witnessesRequired: number;
  /** Whether records must be in a trusted log. */
  logRequired: boolean;
  /** Timestamp authorities (RFC 3161) by their certificates. */
  authorities?: readonly TimestampAuthority[];
  /** Builds that may have made the recording, by the SHA-256 of their packages, hex; null: whichever. */
  builds?: readonly string[] | null;
  /** Blocks of EVM chains the caller knows to be of the chain, hashes in hex. */
  evmBlocks?: readonly { chainId: number; blockHash: string }[];
  /** Outside anchors that must be confirmed by a check of the caller's or by a timestamp of an authority. */
  anchorsRequired: number;
  /** Signed checkpoints seen elsewhere: a bundle that shows another tree of the same size is a fork. */
  knownCheckpoints: SignedCheckpoint[];
  /** How far clocks of different machines may lie apart. */
  clockToleranceUs: number;
  /** How much later than it says it ended somebody who is trusted may have seen a recording first: witnesses, authorities, chains. */
  latenessUs: number;
  /** How far the recorder's clock may have been set back during one recording. */
  clockStepUs: number;
  /** How long before its end heads of a recording must have been logged while it ran; null: it is not asked. */
  progressUs?: number | null;
  /** When it is verified: what was trusted until before then counts only where an evidence record renewed it in time; null: it is not asked. */
  asOfUs?: number | null;
  /** Until when algorithms of timestamps are trusted; what is not in it is trusted for good. */
  algorithms?: readonly { name: StampAlgorithm; untilUs: number }[];
  /** How far off the recorder's clock may have been by its measurements, error included, of which there must be some; null: it is not asked. */
  clockOffsetUs?: number | null;
}

const POLICY_BYTES_MAX = 1 << 20;
const CLOCK_TOLERANCE_US = 300_000_000;
const LATENESS_US = 7 * 86_400_000_000;
const CLOCK_STEP_US = 86_400_000_000;

export const policySchema = object(
  {
    v: literal(1),
    identity_keys: array(
      object({ key: string(200) }, { name: string(200), valid_from_us: integer(), valid_to_us: integer() }),
      1000,
    ),
  },
  {
    log_keys: array(string(500), 100),
    witnesses: array(string(500), 100),
    witnesses_required: integer(0, 100),
    log_required: boolean,
    tsas: array(object({ name: string(200), certificate: string(20_000) }), 100),
    builds: array(object({ package_sha256: hex(32) }, { version: string(200) }), 1000),
    evm_blocks: array(object({ chain_id: integer(1), block_hash: hex(32) }), 1000),
    anchors_required: integer(0, 100),
    known_checkpoints: array(string(20_000), 1000),
    clock_tolerance_us: integer(),
    lateness_us: integer(),
    clock_step_us: integer(),
    progress_us: integer(),
    clock_offset_us: integer(),
    as_of_us: integer(),
    algorithms: array(object({ name: literal(...stampAlgorithms), until_us: integer() }), 20),
  },
);

function witnessKey(text: string): NoteKey {
  const key = parseNoteKey(text);
  if (key.algorithm !== noteAlgorithms.cosignatureV1)
    throw new DecodeError('invalid', `the key of ${key.name} is not a witness key (type 4)`);
  return key;
}

function logKey(text: string): NoteKey {
  const key = parseNoteKey(text);
  if (key.algorithm !== noteAlgorithms.ed25519)
    throw new DecodeError('invalid', `the key of ${key.name} is not a log key (type 1)`);
  return key;
}

/** Somebody who is listed twice, under whatever name, is one witness. */
function distinct(keys: NoteKey[]): NoteKey[] {
  return keys.filter(({ publicKey }, at) => keys.findIndex((other) => equalBytes(other.publicKey, publicKey)) === at);
}

/** A policy that trusts nobody and requires nothing. */
export const trustNobody: TrustPolicy = {
  identityKeys: [],
  logKeys: [],
  witnesses: [],
  witnessesRequired: 0,
  logRequired: false,
  anchorsRequired: 0,
  knownCheckpoints: [],
  clockToleranceUs: CLOCK_TOLERANCE_US,
  latenessUs: LATENESS_US,
  clockStepUs: CLOCK_STEP_US,
};

/** Reads a policy file (JSON). A policy with log keys requires the log unless it says otherwise. Throws `DecodeError`. */
export function parsePolicy(bytes: Uint8Array): TrustPolicy {
  const raw = policySchema.parse(parseJson(bytes, POLICY_BYTES_MAX), 'policy');
  const logKeys = (raw.log_keys ?? []).map(logKey);
  return {
    identityKeys: raw.identity_keys.map(({ key, valid_from_us, valid_to_us }) => ({
      key: parsePublicKey(key),
      validFromUs: valid_from_us ?? 0,
      validToUs: valid_to_us ?? Number.MAX_SAFE_INTEGER,
    })),
    logKeys,
    witnesses: distinct((raw.witnesses ?? []).map(witnessKey)),
    witnessesRequired: raw.witnesses_required ?? 0,
    logRequired: raw.log_required ?? logKeys.length > 0,
    authorities: (raw.tsas ?? []).map(({ name, certificate }) =>
      readAuthority(name, fromBase64(certificate, 'certificate')),
    ),
    builds: raw.builds?.map(({ package_sha256 }) => package_sha256) ?? null,
    evmBlocks: (raw.evm_blocks ?? []).map(({ chain_id, block_hash }) => ({ chainId: chain_id, blockHash: block_hash })),
    anchorsRequired: raw.anchors_required ?? 0,
    knownCheckpoints: (raw.known_checkpoints ?? []).map((text) => parseSignedCheckpoint(text)),
    clockToleranceUs: raw.clock_tolerance_us ?? CLOCK_TOLERANCE_US,
    latenessUs: raw.lateness_us ?? LATENESS_US,
    clockStepUs: raw.clock_step_us ?? CLOCK_STEP_US,
    progressUs: raw.progress_us ?? null,
    clockOffsetUs: raw.clock_offset_us ?? null,
    asOfUs: raw.as_of_us ?? null,
    algorithms: (raw.algorithms ?? []).map(({ name, until_us }) => ({ name, untilUs: until_us })),
  };
}
