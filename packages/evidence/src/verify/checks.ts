import type { FindingCode } from './findings.ts';

/**
 * What a verifier compares, by number: the code of the finding, and what must hold. Each finding names its check. The table of
 * docs/format.md (9.2) is this one. A number never changes its meaning; a new check takes the next free number of its group:
 * B files of a bundle, R records, C leaves and chunks, K contents under a key, L log, A anchors and renewal, P replay.
 */
export const checks = {
  B1: ['FORMAT', 'a bundle has at most 2^20 files'],
  B2: ['FORMAT', 'the name of every file is one of section 8'],
  B3: ['CHUNK_EXTRA', 'a name below `chunks/` is 8 to 16 digits and `.lsc`'],
  B4: ['FORMAT', 'the bytes of every file are what its section and its schema say, and not more than its limit'],
  B5: ['FORMAT', '`bundle.json` is there'],
  B6: ['FORMAT', '`partial.first_chunk` ≤ `partial.last_chunk`'],
  B7: ['FORMAT', '`files` names nothing twice, and not `bundle.json`, `export.dsse.json`, `leaves.bin` or a chunk'],
  B8: ['FORMAT', 'every file that `files` names is there'],
  B9: ['FORMAT', 'SHA-256 of every file that `files` names = its `sha256`'],
  B10: ['FORMAT', 'every file is in `files`, but those of B7'],
  B11: [
    'FORMAT',
    '`leaves.count` = leaves in `leaves.bin`; when all could be read, `leaves.last_hash` = leaf hash of the last or null',
  ],
  B12: [
    'FORMAT',
    'every file was read by a check before: none lies behind a hole in its numbers, or belongs to a record that is not there',
  ],
  B13: ['SPLICED', '`session_id` of `bundle.json` = `open.session_id`'],
  B14: ['SPLICED', 'every `key_id` of `keys/wraps.json` = `open.dek_id`'],
  B15: ['FORMAT', "a wrap for the caller's key opens under it"],
  B16: ['FORMAT', 'a bundle in one file is a tar file as section 8 says'],
  B17: ['FORMAT', '`export.dsse.json` is there (not asked for where a recording is verified in its place)'],
  B18: ['SPLICED', '`export.bundle_sha256` = SHA-256 of `bundle.json`'],
  R1: [
    'SIG_BAD',
    'every signature of a record whose `keyid` is a key of the policy, of `open.recorder.identity_key` or of `manifest.keys.identity_key` checks out',
  ],
  R2: [
    'KEY_UNTRUSTED',
    'the first key that signed a record is one of `identity_keys`, and `valid_from_us` ≤ the time of the record (9.2.1) ≤ `valid_to_us`; told once for each kind and key',
  ],
  R3: ['SPLICED', '`session_id` of a record = `open.session_id`'],
  R4: ['FORMAT', '`open.dsse.json` is there'],
  R5: ['UNCLOSED', '`manifest.dsse.json` is there'],
  R6: ['FORMAT', '`open.recorder.identity_key` and `manifest.keys.identity_key` are public keys'],
  R7: ['SPLICED', 'those keys signed their record'],
  R8: ['FORMAT', '`open.encryption` is `none` exactly where `open.dek_id` is null'],
  R9: ['SPLICED', '`resume.open_sha256` = record hash of `open`'],
  R10: ['SPLICED', '`manifest.open_sha256` = record hash of `open`'],
  R11: [
    'SPLICED',
    '`manifest.opened_us`, `.persistence`, `.keys.dek_id` = `open.opened_us`, `.policy.persistence`, `.dek_id`',
  ],
  R12: [
    'SPLICED',
    '`manifest.resumes_sha256` = record hashes of the `resume` records that passed R1, R3 and R9, in order',
  ],
  R13: ['TRUNCATED', '`manifest.chunks_count` > 0'],
  R14: ['TIME_ORDER', '`manifest.ended_us` + A ≥ `manifest.opened_us`'],
  R15: ['TIME_ORDER', 'S ≤ `clock_step_us`'],
  R16: ['GAP', '`manifest.gaps` is empty; one finding for each'],
  R17: ['GAP', 'where `gaps` is empty, `manifest.statistics.frames_dropped` = 0'],
  R18: ['IMPORTED', 'neither `open` nor `manifest` has `imported`'],
  R19: ['SPLICED', '`imported` of `open` and of `manifest` are equal, or both absent'],
  R20: ['SPLICED', '`replay.manifest_sha256` = record hash of `manifest`'],
  R21: ['FORMAT', 'every line of `custody.jsonl` ends with a newline, and is at most 4 MiB'],
  R22: [
    'SPLICED',
    'the n-th line of `custody.jsonl` has `sequence` n (from 0) and `previous_sha256` = record hash of the line before, null for the first',
  ],
  R23: ['SPLICED', '`erase.dek_id` is null or = `open.dek_id`'],
  R24: ['SPLICED', 'where there is a manifest, `erase.merkle_root` = `manifest.merkle_root`'],
  R25: ['SPLICED', '`erase.at_us` + `clock_tolerance_us` ≥ `manifest.ended_us`, without a manifest `open.opened_us`'],
  R26: ['SPLICED', 'where an `erase` is, `open` is'],
  R27: ['SPLICED', 'where an `erase` that passed R23 to R26 says keys are destroyed, there is no `keys/wraps.json`'],
  R28: [
    'SPLICED',
    'where all chunks of the manifest were read and `open.log_entries` is 2, `manifest.statistics.frames_count` is null or = the frames read',
  ],
  R29: [
    'SPLICED',
    'where `manifest.clock_checks` is, `manifest.clock` has `offset_us` and `source` of the last of them whose `offset_us` is not null, else of the last; and in each `offset_us` is null exactly where `error_us` is',
  ],
  R30: [
    'BUILD_UNKNOWN',
    'where the policy has `builds`, `open.recorder.build.package_sha256` is the `package_sha256` of one of them',
  ],
  R31: ['FORMAT', '`custody.jsonl` has at most 100,000 lines; where there are more, none is read'],
  R32: [
    'CLOCK_OFF',
    'where the policy has `clock_offset_us` and there is a manifest that is not imported: `manifest.clock_checks` has one whose `offset_us` is not null, and of each of those |`offset_us`| + `error_us` ≤ `clock_offset_us`; told once',
  ],
  C1: ['FORMAT', '`leaves.bin` is there'],
  C2: ['FORMAT', 'its length is a multiple of 224, of at most 2^20 leaves'],
  C3: [
    'FORMAT',
    'in a part, `proofs.json` has `previous` exactly where `first_chunk` > 0, and one proof for it and for each leaf',
  ],
  C4: ['SPLICED', 'session id of a leaf = `open.session_uuid`; told once for each other session'],
  C5: ['REORDERED', 'index of a leaf ≥ the index expected: that of the leaf before + 1, first 0 or `first_chunk`'],
  C6: ['CHUNK_MISSING', 'no index is left out between the first expected and the last leaf'],
  C7: ['CHUNK_EXTRA', 'the leaf before a leaf is not FINAL'],
  C8: ['SPLICED', 'where the leaf before is known, previous leaf hash = its leaf hash; of leaf 0, zero'],
  C9: [
    'SEAL_EPOCH',
    'the seal verifies under the key of the `resume` (that passed R1, R3, R9) with this `index` and `previous_leaf_hash`, else under the key the leaf before announces, of leaf 0 `open.first_seal_key`; not judged where that is not known',
  ],
  C10: [
    'TIME_ORDER',
    'opened + A ≥ closed of the leaf before (of leaf 0 `open.opened_us`, not where imported), and closed + A ≥ opened',
  ],
  C11: [
    'ROOT_MISMATCH',
    'in a part, the inclusion proof of each leaf holds for its index, `manifest.chunks_count` and `manifest.merkle_root`',
  ],
  C12: ['GAP', 'a leaf does not say GAP_BEFORE'],
  C13: ['CHUNK_MISSING', "a part's last leaf has index `last_chunk`"],
  C14: [
    'TRUNCATED',
    'the last leaf of a whole is FINAL, and that of a part whose `last_chunk` is `manifest.chunks_count` − 1',
  ],
  C15: ['CHUNK_EXTRA', "any other part's last leaf is not FINAL"],
  C16: ['TRUNCATED', 'leaves in `leaves.bin` ≥ `manifest.chunks_count`'],
  C17: ['CHUNK_EXTRA', 'leaves in `leaves.bin` ≤ `manifest.chunks_count`'],
  C18: [
    'ROOT_MISMATCH',
    'tree head of the leaves = `manifest.merkle_root`, and the sum of their file lengths = `manifest.total_bytes`',
  ],
  C19: ['TIME_ORDER', 'opened of the first leaf ≤ `manifest.ended_us` + A'],
  C20: [
    'TIME_ORDER',
    'of a whole that is not imported, closed of the last leaf ≤ `manifest.ended_us` + A + `clock_tolerance_us`',
  ],
  C21: ['CHUNK_MISSING', 'the file of a leaf is there, or an `erase` that counts says chunks were destroyed (9.3)'],
  C22: ['FORMAT', 'a chunk file is at most 68 MiB'],
  C23: ['SPLICED', 'where C25 fails, the header does not name another session'],
  C24: ['REORDERED', 'where C25 fails and C23 holds, the header does not name another index'],
  C25: [
    'CHUNK_ALTERED',
    "length and SHA-256 of a chunk file are its leaf's; where not, C23, C24 and this are one finding, the first that says why",
  ],
  C26: ['FORMAT', 'the header of a chunk file with the right hash is as section 3 says'],
  C27: [
    'SPLICED',
    'header and leaf: session id, index, opened, previous leaf hash, RECOVERED and GAP_BEFORE are equal; length of the file = 96 + compressed length, in suite 1 + 80',
  ],
  C28: ['SPLICED', 'suite 1: the DEK id of the header = `open.dek_id`; suite 0: `open.dek_id` is null'],
  C29: [
    'CHUNK_MISSING',
    'where an `erase` that counts says chunks were destroyed, no chunk file is left or none is missing',
  ],
  C30: ['CHUNK_EXTRA', 'every chunk file belongs to a leaf'],
  C31: [
    'GAP',
    'of chunks that hold frames, the number of the first = that behind the last of the chunk before, where both were read and the leaf has no GAP_BEFORE',
  ],
  K1: ['FORMAT', 'with a key: the chunk file is as section 3 says to its end'],
  K2: ['COMMITMENT', 'with a key: the commitment derived = that in the file'],
  K3: ['AUTH', 'with a key: the ciphertext authenticates'],
  K4: ['DECOMPRESS', 'the compressed payload and its frames are as [payload-format.md](payload-format.md) says'],
  L1: ['LOG_INCLUSION', 'where the log is required or `witnesses_required` > 0, the policy has `log_keys`'],
  L2: ['TIME_ORDER', 'index of `open` in the log < index of `manifest`'],
  L3: [
    'LOG_INCLUSION',
    'where `witnesses_required` > 0 and there is a manifest, its proof passed L6, L7 and L10 (not told where FORMAT, LOG_INCLUSION or NOTE_SIG_BAD is)',
  ],
  L4: ['LOG_INCLUSION', '`log/custody.tlog-proof` holds for a record of `custody.jsonl`'],
  L5: [
    'LOG_INCLUSION',
    'where the log is required and entries are of form 2: `at_us` of the last custody record − `at_us` of the first behind the one of L4 ≤ one hour',
  ],
  L6: ['NOTE_SIG_BAD', 'a checkpoint is signed by the log key with the name of its origin'],
  L7: ['LOG_INCLUSION', 'its origin is the name of one of `log_keys`, and it has a signature by that key'],
  L8: ['NOTE_SIG_BAD', 'a cosignature by one of `witnesses` checks out'],
  L9: [
    'LOG_INCLUSION',
    'where the log is required, `open`, `manifest`, each `resume` and each `erase` by a trusted key has a proof',
  ],
  L10: ['LOG_INCLUSION', "the proof holds for the record's entry, in the form `open` announces (7)"],
  L11: ['TIME_ORDER', 'size of the checkpoint in `open` ≤ index of `open` in the log'],
  L12: [
    'DUPLICATE',
    'with the log: no other entry is an `open` about this session, or a `manifest` about this `open` where the bundle has one',
  ],
  L13: [
    'RECORD_MISSING',
    "with the log: below the largest size of the proofs of the bundle's records, every entry about this `open` is a record of the bundle",
  ],
  L14: [
    'LOG_FORK',
    'with the log: its origin and its root at the size of a checkpoint of the bundle = that checkpoint’s',
  ],
  L15: [
    'LOG_FORK',
    'with the log: it can be read, its checkpoint is signed by a key of the policy, and its entries give the checkpoint’s root',
  ],
  L16: ['LOG_FORK', 'all checkpoints have one origin'],
  L17: [
    'LOG_FORK',
    'ordered by size, a consistency proof (RFC 9162 section 2.1.4) holds from each checkpoint to the next; from size 0, the root is that of nothing',
  ],
  L18: [
    'LOG_FORK',
    'a known checkpoint that its log’s key signed is consistent with every checkpoint of its log it can be compared with, and with the log',
  ],
  L19: ['FORMAT', 'every consistency proof was asked for by L17 or L18 (not told where L3 is not)'],
  L20: ['LOG_INCLUSION', 'good cosignatures of the checkpoint over the manifest ≥ `witnesses_required`'],
  L21: [
    'TIME_ORDER',
    'the n-th earliest time of those (n = `witnesses_required`, at least 1) + `clock_tolerance_us` ≥ `manifest.ended_us`',
  ],
  L22: [
    'TIME_ORDER',
    'the latest time a witness gives for the checkpoint in `open` − `clock_tolerance_us` ≤ `open.opened_us`',
  ],
  L23: [
    'LOG_INCLUSION',
    'the head of `progress/NNNN.json` (7.1), made of the record hash of `open`, is leaf `index` of a tree of `count` with the root `root`; `leaf_hash` is null exactly where `leaves_count` is 0',
  ],
  L24: ['LOG_INCLUSION', '`log/progress-NNNN.tlog-proof` is there and holds for the entry of that root (7.1)'],
  L25: [
    'DISOWNED',
    'leaf hash of the leaf of `leaves.bin` with index `leaves_count` − 1 = `leaf_hash` of every head that passed L23 and L24; told once',
  ],
  L26: [
    'TRUNCATED',
    '`manifest.chunks_count` ≥ the largest `leaves_count` of those; without a manifest, of a whole, the leaves in `leaves.bin` (not where an `erase` that counts took chunks, and no leaf is left)',
  ],
  L27: ['TIME_ORDER', 'closed of that leaf ≤ `at_us` of the head + A + `clock_tolerance_us`'],
  L28: [
    'LOG_INCLUSION',
    'where the policy has `progress_us` and there is a manifest that is not imported: `manifest.ended_us` − `progress_us` ≤ the latest `at_us` of the heads that passed L23 and L24, have a `leaves_count` above 0 and stand in the log before the manifest (by the `index` of their proofs; no head does where the manifest’s proof did not pass L6, L7 and L10), without one `open.opened_us`',
  ],
  A1: [
    'ANCHOR_INVALID',
    '`digest` = `manifest.merkle_root` or SHA-256 of the text of the checkpoint over the manifest, after `subject`; where that is not known the receipt is not judged',
  ],
  A2: ['ANCHOR_INVALID', '`session_id` of a receipt = `open.session_id`'],
  A3: ['ANCHOR_INVALID', '`status` is not `failed`'],
  A4: ['ANCHOR_REORGED', '`status` is not `reorged`'],
  A5: ['ANCHOR_PENDING', '`status` is not `pending` or `processing`'],
  A6: ['ANCHOR_INVALID', 'backend `rfc3161`, `tsas` in the policy: `detail` is a token (9.5) whose imprint = `digest`'],
  A7: [
    'ANCHOR_INVALID',
    'backend `rfc3161`, `tsas` in the policy: one of them signed it while its certificate was valid, by the algorithm it names, and its time ≤ its end of trust (9.6)',
  ],
  A8: ['ANCHOR_INVALID', 'backend `evm`: the proof in `detail` holds (9.1)'],
  A9: ['ANCHOR_INVALID', "the caller's own check of a confirmed receipt does not refuse it"],
  A10: ['ANCHOR_REORGED', "the caller's own check does not say that the chain dropped it"],
  A11: ['ANCHOR_PENDING', "the caller's own check does not say that it is pending"],
  A12: ['ANCHOR_INVALID', 'confirmed receipts ≥ `anchors_required`; copies of one (9.5) are one'],
  A13: ['TIME_ORDER', 'the earliest confirmed time + `clock_tolerance_us` ≥ `manifest.ended_us`'],
  A15: [
    'LATE',
    'the earliest of the times of A13 (earliest confirmed) and of L21 (n-th earliest of the witnesses), where there is one, − `lateness_us` ≤ `manifest.ended_us`',
  ],
  A16: [
    'RENEWAL_INVALID',
    'backend `rfc4998`, `tsas` in the policy: `subject` is `session_root`, and `detail` is an evidence record (9.6)',
  ],
  A17: [
    'RENEWAL_INVALID',
    'the first list of the first archive timestamp of each chain has the hashes (9.6) of `open.dsse.json` and of `manifest.dsse.json`, and besides those only hashes of timestamps (decoded `detail` of receipts with backend `rfc3161`) in the bundle',
  ],
  A18: [
    'RENEWAL_INVALID',
    'the first list of every later archive timestamp of a chain has the hash of the timestamp (DER) of the one before',
  ],
  A19: [
    'RENEWAL_INVALID',
    'every timestamp of an evidence record is signed by one of `tsas` while its certificate was valid, and its time ≤ its end of trust (9.6)',
  ],
  A20: [
    'RENEWAL_EXPIRED',
    'in the order of the record, over all its chains, the time of each timestamp < that of the next ≤ its own end of trust; told once',
  ],
  A21: [
    'RENEWAL_EXPIRED',
    'where the policy has `as_of_us`: `as_of_us` ≤ the end of trust of the last timestamp of an evidence record',
  ],
  A22: [
    'RENEWAL_EXPIRED',
    'where the policy has `as_of_us`: of each receipt with backend `rfc3161` that passed A1 to A7, `as_of_us` ≤ its end of trust, or an evidence record that passed A1 to A5 and A16 to A21 has a chain the time of whose first timestamp ≤ that end, and in the first list of that chain and of every later one its hash (9.6)',
  ],
  P1: [
    'NOT_DRAWN',
    "the replay verdict (9.5) is not `parts` or `nothing`, nor `unexamined` after the verifier's own walk",
  ],
  P2: [
    'REPLAY_DIFFERS',
    "after the verifier's own walk: all fields of the signed `replay` but times and software are its own, unless either `ended` with `h264` or `rules` differ",
  ],
} as const satisfies Record<string, readonly [FindingCode, string]>;

export type CheckId = keyof typeof checks;

export const codeOf = (check: CheckId): FindingCode => checks[check][0];
