/**
 * A log in a bucket: tiles written once, `checkpoint` and `witnessed` that only go forward, and the head compared and swapped by
 * its ETag, so that of several writers one is first and the others take up what it wrote.
 */

import { LucidError } from '@lucid-sessions/contract';
import {
  decodeEntries,
  emptyRoot,
  encodeEntries,
  hashLeaf,
  narrowing,
  parseSignedCheckpoint,
  TILE_WIDTH,
  type TileReader,
  tilePath,
} from '@lucid-sessions/evidence';
import type { LogDisk, LogHead, LogHeadStore, Witnessed } from '@lucid-sessions/log';
import { guarded, type S3Bucket } from './s3-bucket.ts';

const headKey = 'head';
const hashBytes = 32;
const triesMax = 20;
const tilesAtOnce = 16;

/** Later by size, or by more cosignatures of the same. */
function isLater(bytes: Uint8Array, than: Uint8Array): boolean {
  const [ours, theirs] = [parseSignedCheckpoint(bytes), parseSignedCheckpoint(than)];
  if (ours.size !== theirs.size) return ours.size > theirs.size;
  return ours.note.signatures.length > theirs.note.signatures.length;
}

export function s3LogDisk(bucket: S3Bucket): LogDisk {
  async function forward(path: string, bytes: Uint8Array): Promise<void> {
    for (let tries = 0; tries < triesMax; tries++) {
      const present = await bucket.get(path);
      if (present !== null && !present.isSpoiled && !isLater(bytes, present.bytes)) return;
      const condition = present === null ? { ifAbsent: true } : { ifEtag: present.etag };
      if ((await bucket.put(path, bytes, condition)).written) return;
    }
    throw new LucidError('storage', `the log’s ${path} changes all the time`);
  }
  return {
    read: (path) => guarded('reading the log', () => bucket.getWhole(path, `the log’s ${path}`)),
    async write(path, bytes) {
      await guarded('writing the log', async () => {
        if (path === 'checkpoint' || path === 'witnessed') return forward(path, bytes);
        const put = await bucket.put(path, bytes, { ifAbsent: true });
        if (put.written || put.present === null) return;
        if (!(await bucket.isSame(path, put.present, bytes)))
          throw new LucidError('storage', `the log’s ${path} is there with other bytes`);
      });
    },
    async removeTree(path) {
      for await (const { key } of bucket.list(`${path}/`)) await bucket.remove(key);
    },
  };
}

interface StoredHead {
  size: number;
  root: string;
  checkpoint: string;
  staged: string;
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const nameOf = (leafHash: Uint8Array): string => Buffer.from(leafHash).toString('latin1');

/** Which entries are logged is read from the tiles, as far as they go, and kept in memory: some 100 bytes an entry. */
export class S3LogHeadStore implements LogHeadStore {
  readonly isShared = true;
  readonly #bucket: S3Bucket;
  readonly #tiles: TileReader;
  /** The ETag of the head that was read or written last; null: there is none. */
  #etag: string | null = null;
  #head: LogHead | null = null;
  readonly #positions = new Map<string, number>();
  /** Entries whose positions are known, from the first on. */
  #indexed = 0;

  constructor(bucket: S3Bucket) {
    this.#bucket = bucket;
    this.#tiles = narrowing((path) => bucket.getWhole(path, `the log’s ${path}`));
  }

  load(): Promise<LogHead> {
    return guarded('reading the log’s head', async () => {
      const stored = await this.#bucket.get(headKey);
      if (stored?.isSpoiled === true) throw new LucidError('storage', 'the log’s head is not what was put there');
      if (stored === null && this.#head !== null && this.#head.size > 0)
        throw new LucidError('storage', 'the log’s head is gone from the bucket');
      const head = stored === null ? noHead() : decodeHead(stored.bytes);
      this.#etag = stored?.etag ?? null;
      this.#head = head;
      await this.#index(head);
      return head;
    });
  }

  async #index(head: LogHead): Promise<void> {
    const published = head.size - head.staged.length;
    while (this.#indexed < published) {
      const first = Math.floor(this.#indexed / TILE_WIDTH);
      const count = Math.min(tilesAtOnce, Math.ceil(published / TILE_WIDTH) - first);
      const tiles = await Promise.all(
        Array.from({ length: count }, (_, at) => {
          const tile = first + at;
          return this.#tiles(tilePath(0, tile, Math.min(TILE_WIDTH, published - tile * TILE_WIDTH)));
        }),
      );
      for (const [at, tile] of tiles.entries()) {
        const from = (first + at) * TILE_WIDTH;
        const width = Math.min(TILE_WIDTH, published - from);
        if (tile === null || tile.length < width * hashBytes)
          throw new LucidError('storage', `the log’s tiles from entry ${from} on are missing`);
        for (let beside = 0; beside < width; beside++)
          this.#positions.set(nameOf(tile.subarray(beside * hashBytes, (beside + 1) * hashBytes)), from + beside);
        this.#indexed = from + width;
      }
    }
    for (const [at, entry] of head.staged.entries()) this.#positions.set(nameOf(hashLeaf(entry)), published + at);
    this.#indexed = Math.max(this.#indexed, head.size);
  }

  swap(expected: LogHead, next: LogHead, leafHashes: readonly Uint8Array[]): Promise<boolean> {
    return guarded('writing the log’s head', async () => {
      const held = this.#head;
      if (held === null || held.size !== expected.size || held.checkpoint !== expected.checkpoint) return false;
      const condition = this.#etag === null ? { ifAbsent: true } : { ifEtag: this.#etag };
      const put = await this.#bucket.put(headKey, encodeHead(next), condition);
      if (!put.written) return false;
      this.#etag = put.etag;
      this.#head = next;
      for (const [at, hash] of leafHashes.entries()) this.#positions.set(nameOf(hash), expected.size + at);
      this.#indexed = next.size;
      return true;
    });
  }

  async indexOf(leafHash: Uint8Array): Promise<number | null> {
    return this.#positions.get(nameOf(leafHash)) ?? null;
  }

  /** What is kept is the public file itself. */
  async loadWitnessed(): Promise<Witnessed> {
    const bytes = await this.#bucket.getWhole('witnessed', 'what witnesses said of the log');
    if (bytes === null) return { size: 0, checkpoint: '' };
    return { size: parseSignedCheckpoint(bytes).size, checkpoint: Buffer.from(bytes).toString() };
  }

  async putWitnessed(): Promise<void> {}

  async close(): Promise<void> {}
}

const noHead = (): LogHead => ({ size: 0, root: emptyRoot(), checkpoint: '', staged: [] });

const encodeHead = ({ size, root, checkpoint, staged }: LogHead): Uint8Array => {
  const stored: StoredHead = { size, root: base64(root), checkpoint, staged: base64(encodeEntries(staged)) };
  return Buffer.from(JSON.stringify(stored));
};

function decodeHead(bytes: Uint8Array): LogHead {
  try {
    const { size, root, checkpoint, staged } = JSON.parse(Buffer.from(bytes).toString()) as StoredHead;
    if (!(Number.isSafeInteger(size) && size >= 0) || typeof checkpoint !== 'string') throw new TypeError('no head');
    const entries = decodeEntries(new Uint8Array(Buffer.from(staged, 'base64')));
    return { size, root: new Uint8Array(Buffer.from(root, 'base64')), checkpoint, staged: entries };
  } catch (cause) {
    throw new LucidError('storage', 'the log’s head in the bucket can not be read', { cause });
  }
}
