import { Reader } from '@lucid-sessions/wire';
import { WorkBudget } from '../gfx/work-budget.ts';
import { bounds, intersect, isEmpty, type PixelBuffer, type Rectangle } from '../pixels.ts';
import type { RlgrMode } from './rlgr.ts';
import { quantBytes, readRfxQuants, type SubBandQuants } from './sub-bands.ts';
import { decodeTile, paintTile } from './tile.ts';
import { tileSide } from './tile-engine.ts';

/** Block types, [MS-RDPRFX] 2.2.2.1.1. */
const wbtSync = 0xccc0;
const wbtCodecVersions = 0xccc1;
const wbtChannels = 0xccc2;
const wbtContext = 0xccc3;
const wbtFrameBegin = 0xccc4;
const wbtFrameEnd = 0xccc5;
const wbtRegion = 0xccc6;
const wbtExtension = 0xccc7;
const cbtRegion = 0xcac1;
const cbtTileset = 0xcac2;
const cbtTile = 0xcac3;

const magic = 0xcaccacca;
const version10 = 0x0100;
const entropyRlgr1 = 0x1;
const entropyRlgr3 = 0x4;
const tileHeaderBytes = 19;
/** Tiles × rectangles compared for one tile set; a full 8K desktop of scattered changes stays far below. */
const comparisonsMax = 1 << 24;

/** Where one message draws, what that may cost, and what it drew. */
interface Destination {
  readonly target: PixelBuffer;
  readonly destLeft: number;
  readonly destTop: number;
  readonly budget: WorkBudget;
  readonly drawn: Rectangle[];
}

export interface RemoteFxSnapshot {
  readonly entropy: RlgrMode | null;
  readonly channelWidth: number;
  readonly channelHeight: number;
  readonly rectangles: readonly Rectangle[];
}

/**
 * A RemoteFX stream, [MS-RDPRFX] 3.1.8. Headers (sync, versions, channels, context) come with every frame in image mode and
 * once in video mode, so the context outlives a message.
 */
export class RemoteFxDecoder {
  #entropy: RlgrMode | null = null;
  #channelWidth = 0;
  #channelHeight = 0;
  #rectangles: Rectangle[] = [];

  /** The stream's context as plain values, to go on from with `restore`. */
  snapshot(): RemoteFxSnapshot {
    return {
      entropy: this.#entropy,
      channelWidth: this.#channelWidth,
      channelHeight: this.#channelHeight,
      rectangles: [...this.#rectangles],
    };
  }

  restore(snapshot: RemoteFxSnapshot): void {
    this.#entropy = snapshot.entropy;
    this.#channelWidth = snapshot.channelWidth;
    this.#channelHeight = snapshot.channelHeight;
    this.#rectangles = [...snapshot.rectangles];
  }

  /**
   * Decodes the blocks of one message and draws what they hold at (destLeft, destTop) of `target`, clipped to it. Returns the
   * rectangles drawn. Throws `DecodeError`; tiles before the bad one stay drawn.
   */
  decode(
    bytes: Uint8Array,
    target: PixelBuffer,
    destLeft: number,
    destTop: number,
    budget: WorkBudget = new WorkBudget(),
  ): Rectangle[] {
    const reader = new Reader(bytes);
    const drawn: Rectangle[] = [];
    while (reader.remaining > 0) {
      const blockType = reader.u16le();
      const blockLen = reader.u32le();
      if (blockLen < 6) throw reader.error('invalid', 'a remotefx block is shorter than its header');
      this.#block(blockType, reader.sub(blockLen - 6), { target, destLeft, destTop, budget, drawn });
    }
    return drawn;
  }

  #block(blockType: number, block: Reader, destination: Destination): void {
    switch (blockType) {
      case wbtSync:
        readSync(block);
        return;
      case wbtChannels:
        this.#channels(block);
        return;
      case wbtContext:
        this.#context(block);
        return;
      case wbtRegion:
        this.#rectangles = this.#region(block, destination);
        return;
      case wbtExtension:
        this.#tileSet(block, destination);
        return;
      case wbtCodecVersions:
      case wbtFrameBegin:
      case wbtFrameEnd:
        return;
      default:
        throw block.error('invalid', `0x${blockType.toString(16)} is no remotefx block type`);
    }
  }

  /** TS_RFX_CHANNELS, [MS-RDPRFX] 2.2.2.2.3. Several stand for several monitors, of which the first counts. */
  #channels(block: Reader): void {
    if (block.u8() < 1) throw block.error('invalid', 'a remotefx stream has no channel');
    block.skip(1);
    this.#channelWidth = block.u16le();
    this.#channelHeight = block.u16le();
  }

  /** TS_RFX_CONTEXT, [MS-RDPRFX] 2.2.2.2.4. */
  #context(block: Reader): void {
    block.skip(3); // codecId, channelId, ctxId
    if (block.u16le() !== tileSide) throw block.error('invalid', 'remotefx tiles are 64 pixels wide');
    this.#entropy = entropyMode((block.u16le() >> 9) & 0xf, block);
  }

  /** TS_RFX_REGION, [MS-RDPRFX] 2.2.2.3.3: where the tiles that follow may be seen. */
  #region(block: Reader, { destLeft, destTop }: Destination): Rectangle[] {
    block.skip(3); // codecId, channelId, regionFlags
    const count = block.u16le();
    if (count === 0) return [{ left: destLeft, top: destTop, width: this.#channelWidth, height: this.#channelHeight }];
    block.need(count * 8 + 2, 'remotefx region');
    const rectangles: Rectangle[] = [];
    for (let i = 0; i < count; i += 1) {
      const left = destLeft + block.u16le();
      const top = destTop + block.u16le();
      rectangles.push({ left, top, width: block.u16le(), height: block.u16le() });
    }
    if (block.u16le() !== cbtRegion) throw block.error('invalid', 'a remotefx region has a wrong type');
    return rectangles;
  }

  /** TS_RFX_TILESET, [MS-RDPRFX] 2.2.2.3.4. */
  #tileSet(block: Reader, destination: Destination): void {
    block.skip(2); // codecId, channelId
    if (block.u16le() !== cbtTileset) throw block.error('invalid', 'a remotefx extension is no tile set');
    block.skip(2); // idx
    const properties = block.u16le();
    const quantsCount = block.u8();
    if (block.u8() !== tileSide) throw block.error('invalid', 'remotefx tiles are 64 pixels wide');
    const tilesCount = block.u16le();
    // Windows Server 2012 ends empty tile sets here.
    if (tilesCount === 0) return;
    block.skip(4); // tilesDataSize
    const mode = this.#entropy ?? entropyMode((properties >> 10) & 0xf, block);
    block.need(quantsCount * quantBytes, 'remotefx quantization values');
    const quants: SubBandQuants[] = [];
    for (let i = 0; i < quantsCount; i += 1) quants.push(readRfxQuants(block.slice(quantBytes)));
    const clip = bounds(destination.target);
    const rectangles = this.#rectangles.map((rectangle) => intersect(rectangle, clip)).filter((r) => !isEmpty(r));
    if (rectangles.length * tilesCount > comparisonsMax)
      throw block.error('limit', 'a remotefx tile set has too many tiles and rectangles');
    for (let i = 0; i < tilesCount; i += 1) readTile(block, mode, quants, rectangles, destination);
    for (const rectangle of rectangles) destination.drawn.push(rectangle);
  }
}

function readSync(block: Reader): void {
  if (block.u32le() !== magic) throw block.error('invalid', 'a remotefx stream has a wrong magic number');
  if (block.u16le() !== version10) throw block.error('unsupported', 'a remotefx stream is not of version 1.0');
}

function entropyMode(value: number, block: Reader): RlgrMode {
  if (value === entropyRlgr1) return 1;
  if (value === entropyRlgr3) return 3;
  throw block.error('invalid', `${value} is no remotefx entropy coder`);
}

/** TS_RFX_TILE, [MS-RDPRFX] 2.2.2.3.4.1. A tile that can't be seen is stepped over without decoding. */
function readTile(
  tileSet: Reader,
  mode: RlgrMode,
  quants: readonly SubBandQuants[],
  rectangles: readonly Rectangle[],
  { target, destLeft, destTop, budget }: Destination,
): void {
  if (tileSet.u16le() !== cbtTile) throw tileSet.error('invalid', 'a remotefx tile has a wrong type');
  const blockLen = tileSet.u32le();
  if (blockLen < tileHeaderBytes) throw tileSet.error('invalid', 'a remotefx tile is shorter than its header');
  const tile = tileSet.sub(blockLen - 6);
  const quantsY = quants[tile.u8()];
  const quantsCb = quants[tile.u8()];
  const quantsCr = quants[tile.u8()];
  if (!quantsY || !quantsCb || !quantsCr) throw tile.error('invalid', 'a remotefx tile names a missing quantization');
  const left = destLeft + tile.u16le() * tileSide;
  const top = destTop + tile.u16le() * tileSide;
  const yLen = tile.u16le();
  const cbLen = tile.u16le();
  const crLen = tile.u16le();
  const y = tile.slice(yLen);
  const cb = tile.slice(cbLen);
  const cr = tile.slice(crLen);
  let decoded = false;
  for (const rectangle of rectangles) {
    if (rectangle.left >= left + tileSide || rectangle.left + rectangle.width <= left) continue;
    if (rectangle.top >= top + tileSide || rectangle.top + rectangle.height <= top) continue;
    if (!decoded) {
      budget.spend(tileSide * tileSide);
      decodeTile({ mode, y, cb, cr, quantsY, quantsCb, quantsCr });
      decoded = true;
    }
    paintTile(target, left, top, intersect(rectangle, { left, top, width: tileSide, height: tileSide }));
  }
}
