/**
 * Evidence records (RFC 4998): what keeps a proof alive when the certificate or the algorithm of a timestamp ages. Each archive
 * timestamp covers the one before it while that still counts; one timestamp covers many recordings by a hash tree.
 */
import { concatBytes, DecodeError, equalBytes } from '@lucid-sessions/wire';
import { type DerElement, derChildren, derContext, derTags, expectTag, readDer, writeDer } from './der.ts';
import {
  type DigestName,
  digestAlgorithm,
  digestNames,
  digestOf,
  readDigestAlgorithm,
  readTimestamp,
} from './timestamp.ts';

/** Receipts that carry an evidence record. */
export const RENEWAL_BACKEND = 'rfc4998';

/** Of one record, and of its parts. */
export const EVIDENCE_RECORD_BYTES_MAX = 1 << 20;
export const ARCHIVE_TIMESTAMPS_MAX = 100;
const CHAINS_MAX = 16;
const LISTS_MAX = 64;
const HASHES_MAX = 128;

/** An element of the record, whose length is in as few bytes as it can be; what a timestamp holds is its authority's. */
function shortest(element: DerElement): DerElement {
  if (writeDer(element.tag, element.content).length !== element.raw.length) throw bad('a length that is too long');
  return element;
}
const childrenOf = (element: DerElement): DerElement[] => derChildren(element).map(shortest);

/** Parameters are NULL or absent. */
function readHash(element: DerElement): DigestName {
  const [, parameters, ...more] = childrenOf(expectTag(element, derTags.sequence));
  if (more.length > 0 || (parameters !== undefined && expectTag(parameters, derTags.null).content.length > 0))
    throw bad('a hash with parameters');
  return readDigestAlgorithm(element);
}

const bad = (message: string): DecodeError => new DecodeError('invalid', `bad evidence record: ${message}`);

/** RFC 4998 section 4.1. */
export interface ArchiveTimestamp {
  /** Of the hash tree and of what is stamped. */
  hash: DigestName;
  /** reducedHashtree; empty: the stamp is over the one hash itself. */
  lists: readonly (readonly Uint8Array[])[];
  /** RFC 3161 token. */
  token: Uint8Array;
  timeUs: number;
  /** DER. */
  raw: Uint8Array;
}

/** Chains of archive timestamps, oldest first; in one chain all have one hash. */
export type EvidenceRecord = readonly (readonly ArchiveTimestamp[])[];

/** "Binary ascending": as bytes, all of one length. */
function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((value, place) => value !== b[place]);
  return at < 0 ? 0 : a[at]! - b[at]!;
}

const sorted = (hashes: readonly Uint8Array[]): Uint8Array[] => hashes.toSorted(compareBytes);
const nodeOf = (hash: DigestName, hashes: readonly Uint8Array[]): Uint8Array =>
  digestOf[hash](concatBytes(...sorted(hashes)));

function readArchiveTimestamp(element: DerElement): ArchiveTimestamp {
  const parts = derChildren(expectTag(element, derTags.sequence));
  const said = parts[0]?.tag === derContext(0) ? parts.shift() : undefined;
  const tree = parts[0]?.tag === derContext(2) ? parts.shift() : undefined;
  for (const one of [said, tree]) if (one !== undefined) shortest(one);
  if (parts.length !== 1) throw bad('an archive timestamp with attributes, or without a timestamp');
  const token = expectTag(parts[0], derTags.sequence).raw;
  const timestamp = readTimestamp(token, digestNames);
  const hash = timestamp.digestHash;
  // [0] IMPLICIT: an AlgorithmIdentifier under another tag.
  if (said !== undefined && readHash({ ...said, tag: derTags.sequence }) !== hash)
    throw bad('an archive timestamp names another hash than its timestamp');
  const lists = tree === undefined ? [] : childrenOf(tree).map(readList);
  if (tree !== undefined && !(lists.length >= 1 && lists.length <= LISTS_MAX))
    throw bad(`a hash tree of no lists, or of more than ${LISTS_MAX}`);
  const length = digestOf[hash](new Uint8Array(0)).length;
  if (lists.some((list) => list.some((one) => one.length !== length))) throw bad('a hash of another length');
  const root = lists.reduce<Uint8Array | null>(
    (below, list) => nodeOf(hash, below === null ? list : [...list, below]),
    null,
  );
  if (root !== null && !equalBytes(root, timestamp.digest)) throw bad('a hash tree does not lead to what was stamped');
  return { hash, lists, token, timeUs: timestamp.timeUs, raw: element.raw };
}

function readList(element: DerElement): Uint8Array[] {
  const hashes = childrenOf(expectTag(element, derTags.sequence)).map(
    (one) => expectTag(one, derTags.octetString).content,
  );
  if (!(hashes.length >= 1 && hashes.length <= HASHES_MAX))
    throw bad(`a list of no hash, or of more than ${HASHES_MAX}`);
  return hashes;
}

/** Reads a record, and that every hash tree leads to its timestamp's imprint; signatures are the caller's to check. Throws `DecodeError`. */
export function readEvidenceRecord(bytes: Uint8Array): EvidenceRecord {
  if (bytes.length > EVIDENCE_RECORD_BYTES_MAX) throw new DecodeError('limit', 'the evidence record is too large');
  const parts = childrenOf(shortest(readDer(bytes, derTags.sequence)));
  const [version, algorithms, sequence] = parts;
  if (parts.length !== 3) throw bad('it has cryptoInfos or encryptionInfo, or lacks a part');
  const { content } = expectTag(version, derTags.integer);
  if (content.length !== 1 || content[0] !== 1) throw bad('its version is not 1');
  const named = childrenOf(expectTag(algorithms, derTags.sequence)).map(readHash);
  if (new Set(named).size !== named.length) throw bad('a hash that its digestAlgorithms name twice');
  const chains = childrenOf(expectTag(sequence, derTags.sequence)).map((chain) =>
    childrenOf(expectTag(chain, derTags.sequence)).map(readArchiveTimestamp),
  );
  const all = chains.flat();
  if (!(all.length >= 1 && all.length <= ARCHIVE_TIMESTAMPS_MAX) || chains.some((chain) => chain.length === 0))
    throw bad(`no archive timestamp in it or a chain, or more than ${ARCHIVE_TIMESTAMPS_MAX}`);
  if (chains.length > CHAINS_MAX) throw bad(`more than ${CHAINS_MAX} chains`);
  if (all.some(({ hash }) => !named.includes(hash))) throw bad('a hash that its digestAlgorithms do not name');
  if (chains.some((chain) => chain.some(({ hash }) => hash !== chain[0]?.hash))) throw bad('a chain of two hashes');
  return chains;
}

const chainDer = (chain: readonly Pick<ArchiveTimestamp, 'raw'>[]): Uint8Array =>
  writeDer(derTags.sequence, ...chain.map(({ raw }) => raw));

function writeEvidenceRecord(chains: readonly (readonly Pick<ArchiveTimestamp, 'raw' | 'hash'>[])[]): Uint8Array {
  const used = new Set(chains.flat().map(({ hash }) => hash));
  return writeDer(
    derTags.sequence,
    writeDer(derTags.integer, Uint8Array.of(1)),
    writeDer(derTags.sequence, ...digestNames.filter((name) => used.has(name)).map(digestAlgorithm)),
    writeDer(derTags.sequence, ...chains.map(chainDer)),
  );
}

/** Of the hashes of data objects, those that the first archive timestamp of chain `at` covers (sections 4.2 and 5.3). */
export function coveredHashes(
  record: EvidenceRecord,
  at: number,
  hash: DigestName,
  own: readonly Uint8Array[],
): readonly Uint8Array[] {
  if (at === 0) return own;
  const hashOf = digestOf[hash];
  const before = hashOf(writeDer(derTags.sequence, ...record.slice(0, at).map(chainDer)));
  return own.map((one) => hashOf(concatBytes(one, before)));
}

/** The first list of an archive timestamp; without a hash tree that is what was stamped. */
export function firstList({ lists, token }: ArchiveTimestamp): readonly Uint8Array[] {
  return lists[0] ?? [readTimestamp(token, digestNames).digest];
}

/** Whether chain `at` is over all of these data objects. */
export function chainCovers(record: EvidenceRecord, at: number, objects: readonly Uint8Array[]): boolean {
  const [first] = record[at]!;
  const list = firstList(first!);
  const hashes = objects.map((object) => digestOf[first!.hash](object));
  return coveredHashes(record, at, first!.hash, hashes).every((hash) => list.some((one) => equalBytes(one, hash)));
}

/** Whether archive timestamp `later` covers the one before it in its chain (section 5.2). */
export const coversStamp = (later: ArchiveTimestamp, earlier: ArchiveTimestamp): boolean => {
  const hash = digestOf[later.hash](earlier.token);
  return firstList(later).some((one) => equalBytes(one, hash));
};

/** Whether the record's last chain is under that hash, and over all of these data objects. */
export const isOver = (record: EvidenceRecord, hash: DigestName, objects: readonly Uint8Array[]): boolean =>
  record.at(-1)?.[0]?.hash === hash && chainCovers(record, record.length - 1, objects);

/** What is to be stamped: data objects that never were, or a record that is to live on, under its hash or a new one (of the same data objects). */
export interface RenewalItem {
  objects: readonly Uint8Array[];
  record: EvidenceRecord | null;
}

/** One timestamp for many items: what it has to be over, and with its token the records (DER) in their order. */
export function planRenewal(
  items: readonly RenewalItem[],
  hash: DigestName,
): { digest: Uint8Array; records(token: Uint8Array): Uint8Array[] } {
  if (items.length === 0) throw new RangeError('a timestamp is over one item at least');
  const leaves = items.map(({ objects, record }) => {
    const last = record?.at(-1);
    // Of a record under the same hash, over the same objects, the stamp alone is renewed.
    if (last !== undefined && isOver(record!, hash, objects))
      return { group: null, node: digestOf[hash](last.at(-1)!.token) };
    const hashes = objects.map((object) => digestOf[hash](object));
    const group = sorted(coveredHashes(record ?? [], record?.length ?? 0, hash, hashes));
    return { group, node: nodeOf(hash, group) };
  });
  const { root, siblings } = hashTree(
    hash,
    leaves.map(({ node }) => node),
  );
  return {
    digest: root,
    records: (token) =>
      items.map(({ record }, at) => {
        const { group, node } = leaves[at]!;
        const [nearest, ...above] = siblings[at]!;
        const lists =
          group !== null
            ? [group, ...siblings[at]!.map((one) => [one])]
            : nearest === undefined
              ? []
              : [sorted([node, nearest]), ...above.map((one) => [one])];
        const made = { hash, raw: archiveTimestamp(lists, token) };
        const chains = record ?? [];
        return writeEvidenceRecord(
          group === null ? [...chains.slice(0, -1), [...chains.at(-1)!, made]] : [...chains, [made]],
        );
      }),
  };
}

function archiveTimestamp(lists: readonly (readonly Uint8Array[])[], token: Uint8Array): Uint8Array {
  const tree = lists.map((list) =>
    writeDer(derTags.sequence, ...list.map((one) => writeDer(derTags.octetString, one))),
  );
  return writeDer(derTags.sequence, ...(tree.length === 0 ? [] : [writeDer(derContext(2), ...tree)]), token);
}

/** A binary tree; who is left over at a level goes up as it is. Siblings from the leaf up. */
function hashTree(hash: DigestName, leaves: readonly Uint8Array[]): { root: Uint8Array; siblings: Uint8Array[][] } {
  const siblings: Uint8Array[][] = leaves.map(() => []);
  let level = leaves.map((node, at) => ({ node, of: [at] }));
  while (level.length > 1) {
    const next: typeof level = [];
    for (let at = 0; at < level.length; at += 2) {
      const [left, right] = [level[at]!, level[at + 1]];
      if (right === undefined) {
        next.push(left);
        continue;
      }
      for (const one of left.of) siblings[one]!.push(right.node);
      for (const one of right.of) siblings[one]!.push(left.node);
      next.push({ node: nodeOf(hash, [left.node, right.node]), of: [...left.of, ...right.of] });
    }
    level = next;
  }
  return { root: level[0]!.node, siblings };
}
