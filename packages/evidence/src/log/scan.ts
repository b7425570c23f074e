/** Reading a whole log: every entry, under its signed checkpoint. Anybody can, and sees what a single proof does not show. */
import { type Crypto, DecodeError, equalBytes } from '@lucid-sessions/wire';
import { hashLeaf } from '../merkle/hash.ts';
import { MerkleTree } from '../merkle/tree.ts';
import { parseSignedCheckpoint, type SignedCheckpoint } from './checkpoint.ts';
import { type LogEntryFields, type LogEntryKind, parseLogEntry } from './entry.ts';
import { checkNote, type NoteKey } from './note.ts';
import { decodeEntries, entriesPath, narrowing, TILE_WIDTH, type TileReader } from './tiles.ts';

/** More than a decade of an installation that ends a session every ten seconds. */
const LOG_ENTRIES_MAX = 1 << 26;

export interface LogScan {
  checkpoint: SignedCheckpoint;
  /** The root the log had at each of the sizes that were asked for, where it has been that large. */
  roots: ReadonlyMap<number, Uint8Array>;
}

/**
 * Reads the log behind `read`, entry by entry. Throws `DecodeError`: it has no checkpoint, none of `keys` signed it, a file is
 * missing, or the entries are not those the checkpoint was signed over.
 */
export async function scanLog(
  read: TileReader,
  options: {
    crypto: Crypto;
    keys: readonly NoteKey[];
    sizes?: Iterable<number>;
    /** `fields` is null where this version does not know the entry. */
    visit?(index: number, fields: LogEntryFields | null): void;
  },
): Promise<LogScan> {
  const bytes = await read('checkpoint');
  if (bytes === null) throw new DecodeError('invalid', 'the log has no checkpoint');
  const checkpoint = parseSignedCheckpoint(bytes);
  const key = options.keys.find(({ name }) => name === checkpoint.origin);
  if (key === undefined || (await checkNote(options.crypto, checkpoint.note, key)) !== 'good')
    throw new DecodeError('invalid', `no key that is trusted signed the checkpoint of ${checkpoint.origin}`);
  const { size } = checkpoint;
  if (size > LOG_ENTRIES_MAX) throw new DecodeError('limit', `a log of more than ${LOG_ENTRIES_MAX} entries`);
  const wanted = new Set(options.sizes);
  const roots = new Map<number, Uint8Array>();
  const tree = MerkleTree.empty();
  const note = (): void => {
    if (wanted.has(tree.size)) roots.set(tree.size, tree.root());
  };
  note();
  const file = narrowing(read);
  for (let bundle = 0; tree.size < size; bundle += 1) {
    const width = Math.min(TILE_WIDTH, size - tree.size);
    const path = entriesPath(bundle, width);
    const tile = await file(path);
    const entries = tile === null ? [] : decodeEntries(tile);
    if (entries.length !== width) throw new DecodeError('invalid', `the log has not the entries of ${path}`);
    for (const entry of entries) {
      options.visit?.(tree.size, parseLogEntry(entry));
      tree.append(hashLeaf(entry));
      note();
    }
  }
  if (!equalBytes(tree.root(), checkpoint.root))
    throw new DecodeError('invalid', 'the entries of the log are not those its checkpoint was signed over');
  return { checkpoint, roots };
}

/** A second record where a session has one. */
export interface LogDuplicate {
  kind: LogEntryKind;
  /** What both are about, hex: of `open` the session's hash, of a head of the audit log the second chain, else the hash of the session's `open` record. */
  subject: string;
  first: number;
  again: number;
}

/** What whoever watches a log looks for. Bounded by the sessions in the log, some 100 bytes each. */
export class LogMonitor {
  readonly #first = new Map<string, number>();
  /** Audit chains, and the entry that named each first. */
  readonly #chains = new Map<string, number>();
  readonly duplicates: LogDuplicate[] = [];
  duplicatesCount = 0;
  /** By kind; `1` counts entries of version 1, which do not say what they are about. */
  readonly counts = new Map<LogEntryKind | 'unknown' | 'version 1', number>();

  readonly visit = (index: number, fields: LogEntryFields | null): void => {
    const name = fields === null ? 'unknown' : fields.subject === null ? 'version 1' : fields.kind;
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    if (fields === null || fields.subject === null) return;
    const { kind, subject } = fields;
    if (kind === 'audit') this.#auditHead(index, subject);
    if (kind !== 'open' && kind !== 'manifest') return;
    const first = this.#first.get(`${kind} ${subject}`);
    if (first === undefined) this.#first.set(`${kind} ${subject}`, index);
    else this.#found({ kind, subject, first, again: index });
  };

  /** An installation has one audit chain, for good. */
  #auditHead(index: number, chain: string): void {
    if (this.#chains.has(chain)) return;
    const [first] = this.#chains.values();
    // Whoever has the log's key can name any number of chains: of those past a thousand the count is enough.
    if (this.#chains.size < 1000) this.#chains.set(chain, index);
    if (first !== undefined) this.#found({ kind: 'audit', subject: chain, first, again: index });
  }

  #found(duplicate: LogDuplicate): void {
    this.duplicatesCount += 1;
    if (this.duplicates.length < 1000) this.duplicates.push(duplicate);
  }
}
