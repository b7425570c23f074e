/** Progress: the heads of all running sessions under one root, which is logged while they run. */
import { Writer } from '@lucid-sessions/wire';
import { hashLeaf } from '../merkle/hash.ts';
import { fromHex, toHex, utf8 } from '../text.ts';
import { sha256 } from '../web-crypto.ts';

/** "LSH1" */
const MAGIC = 0x4c534831;
export const PROGRESS_HEAD_BYTES = 80;

/** How far a session's chain is: the hash of its last leaf, null while there is none. Hex. */
export interface ProgressHead {
  openSha256: string;
  leavesCount: number;
  leafHash: string | null;
}

export const encodeProgressHead = ({ openSha256, leavesCount, leafHash }: ProgressHead): Uint8Array =>
  new Writer(PROGRESS_HEAD_BYTES)
    .u32be(MAGIC)
    .zeros(4)
    .slice(fromHex(openSha256, 32, 'hash of the open record'))
    .u64be(BigInt(leavesCount))
    .slice(leafHash === null ? new Uint8Array(32) : fromHex(leafHash, 32, 'leaf hash'))
    .bytes();

export const progressLeafHash = (head: ProgressHead): Uint8Array => hashLeaf(encodeProgressHead(head));

/** What the log's entry commits to beside the root: when the heads were taken, and how many there were. Hex. */
export const progressStatement = ({ atUs, count, root }: { atUs: number; count: number; root: string }): string =>
  toHex(
    sha256(
      utf8('lucid-sessions/v1/progress\0'),
      new Writer(16).u64be(BigInt(atUs)).u64be(BigInt(count)).bytes(),
      fromHex(root, 32, 'root'),
    ),
  );
