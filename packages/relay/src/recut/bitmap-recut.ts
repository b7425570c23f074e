/** The server's bitmap updates for a client that draws padded bitmaps wrongly: by fast-path, also in fragments, and by slow-path. */
import {
  CompressionFlag,
  FASTPATH_OUTPUT_COMPRESSION_USED,
  type FastPathOutput,
  type FastPathUpdate,
  FastPathUpdateCode,
  Fragmentation,
  fastPathOutput,
  PduType,
  PduType2,
  type ShareControlPdu,
  shareControlPdu,
  shareDataPdu,
  slowPathUpdate,
  UpdateType,
} from '@lucid-sessions/rdp';
import { attempt, decode, encode, joinBytes } from '@lucid-sessions/wire';
import { paintedData } from '../canvas.ts';
import { sharePdusOf } from '../share-pdus.ts';
import { recutBitmaps } from './bitmaps.ts';

/** What is held of an update in fragments: four times what the largest bitmap of a slow-path PDU takes. */
const FRAGMENTS_BYTES_MAX = 256 * 1024;
const FRAGMENTS_MAX = 256;
const UPDATE_TYPE_BYTES = 2;
const updateType = Uint8Array.of(UpdateType.bitmap, 0);

interface Held {
  pdus: Uint8Array[];
  parts: Uint8Array[];
  bytes: number;
}

/** Where a method answers with a list, it is what goes on in the PDU's place, in order; null: the PDU, as it came. */
export class BitmapRecut {
  #held: Held | null = null;
  #hasCut = false;

  /** Something was cut until now. */
  get hasCut(): boolean {
    return this.#hasCut;
  }

  /** An update in fragments has begun and not ended: whatever else may draw must come here, or `release` before it. */
  get isUnderWay(): boolean {
    return this.#held !== null;
  }

  /** What is held, as it came: something else came before its end. */
  release(): Uint8Array[] {
    const pdus = this.#held?.pdus ?? [];
    this.#held = null;
    return pdus;
  }

  /** A fast-path PDU of the server, whole. */
  fastPath(pdu: Uint8Array): readonly Uint8Array[] | null {
    const output = attempt(() => decode(fastPathOutput, pdu));
    const [update] = output?.updates ?? [];
    if (output === null || update === undefined) return this.#after(this.release(), pdu, null);
    const { fragmentation } = update;
    const isFragment = output.updates.length === 1 && isBitmap(update) && fragmentation !== Fragmentation.single;
    if (!isFragment) return this.#after(this.release(), pdu, this.#cut(output));
    if (fragmentation === Fragmentation.first) {
      const unended = this.release();
      this.#hold(pdu, update);
      return unended;
    }
    if (this.#held === null) return null;
    const { parts, bytes } = this.#hold(pdu, update);
    if (bytes > FRAGMENTS_BYTES_MAX || parts.length > FRAGMENTS_MAX) return this.release();
    if (fragmentation === Fragmentation.next) return [];
    const pdus = this.release();
    const data = joinBytes(parts);
    return this.#cut({ ...output, updates: [{ ...update, fragmentation: Fragmentation.single, data }] }) ?? pdus;
  }

  /** MCS data of a slow-path PDU, as data of several. */
  shares(data: Uint8Array): Uint8Array[] | null {
    return this.#noted(recutShares(data));
  }

  #cut(output: FastPathOutput): Uint8Array[] | null {
    return this.#noted(recutOutput(output));
  }

  #noted(cut: Uint8Array[] | null): Uint8Array[] | null {
    this.#hasCut ||= cut !== null;
    return cut;
  }

  #after(held: Uint8Array[], pdu: Uint8Array, cut: Uint8Array[] | null): readonly Uint8Array[] | null {
    return held.length === 0 ? cut : [...held, ...(cut ?? [pdu])];
  }

  #hold(pdu: Uint8Array, { data }: FastPathUpdate): Held {
    this.#held ??= { pdus: [], parts: [], bytes: 0 };
    const held = this.#held;
    held.pdus.push(new Uint8Array(pdu));
    held.parts.push(new Uint8Array(data));
    held.bytes += data.length;
    return held;
  }
}

const isBitmap = ({ updateCode, compression }: FastPathUpdate): boolean =>
  updateCode === FastPathUpdateCode.bitmap && (compression & FASTPATH_OUTPUT_COMPRESSION_USED) === 0;

/** Each update in a PDU of its own, where one of them is cut. */
function recutOutput({ wideLength: _, ...output }: FastPathOutput): Uint8Array[] | null {
  let isCut = false;
  const updates = output.updates.flatMap((update) => {
    const isWhole = isBitmap(update) && update.fragmentation === Fragmentation.single;
    const bodies = isWhole ? recutBitmaps(update.data.subarray(UPDATE_TYPE_BYTES)) : null;
    isCut ||= bodies !== null;
    return bodies?.map((body) => ({ ...update, data: joinBytes([updateType, body]) })) ?? [update];
  });
  return isCut ? updates.map((update) => encode(fastPathOutput, { ...output, updates: [update] })) : null;
}

/** Each share PDU by itself, where one of them is cut. */
function recutShares(data: Uint8Array): Uint8Array[] | null {
  let isCut = false;
  const shares = sharePdusOf(data).flatMap((share) => {
    const cut = recutShare(share);
    isCut ||= cut !== null;
    return cut ?? [encode(shareControlPdu, share)];
  });
  return isCut ? shares : null;
}

function recutShare({ pduType, pduSource = 0, body }: ShareControlPdu): Uint8Array[] | null {
  const share = (pduType & 15) === PduType.data ? attempt(() => decode(shareDataPdu, body)) : null;
  if (share?.pduType2 !== PduType2.update || (share.compressedType & CompressionFlag.compressed) !== 0) return null;
  const update = attempt(() => decode(slowPathUpdate, share.data));
  if (update?.updateType !== UpdateType.bitmap) return null;
  return recutBitmaps(update.data)?.map((each) => paintedData(share.shareId, pduSource, each)) ?? null;
}
