import type { HistoryDepth } from '@lucid-sessions/rdp/bulk';
import { DecodeError, Reader } from '@lucid-sessions/wire';
import { WorkBudget } from '../gfx/work-budget.ts';
import { bounds, intersect, isEmpty, type PixelBuffer, pixelBufferPixelsMax, type Rectangle } from '../pixels.ts';
import { quantBytes, readProgressiveQuants, type SubBandQuants, subBandsCount } from '../rfx/sub-bands.ts';
import { tileEngine, tileSide } from '../rfx/tile-engine.ts';
import { createTileState, decodeFirstPass, decodeUpgradePass, type TileState } from './tile-state.ts';

/** Block types, [MS-RDPEGFX] 2.2.4.2.1. */
const wbtSync = 0xccc0;
const wbtFrameBegin = 0xccc1;
const wbtFrameEnd = 0xccc2;
const wbtContext = 0xccc3;
const wbtRegion = 0xccc4;
const wbtTileSimple = 0xccc5;
const wbtTileFirst = 0xccc6;
const wbtTileUpgrade = 0xccc7;

const magic = 0xcaccacca;
const version10 = 0x0100;
const subbandDiffing = 0x01; // RFX_SUBBAND_DIFFING
const reduceExtrapolateFlag = 0x01; // RFX_DWT_REDUCE_EXTRAPOLATE
const tileDifference = 0x01; // RFX_TILE_DIFFERENCE
const qualityFull = 0xff;
/** Tiles × rectangles compared for one region; a full 8K desktop of scattered changes stays far below. */
const comparisonsMax = 1 << 24;
/** Tiles remembered at once over all surfaces of a pipeline: as many as the largest desktop has, 36 KiB each. */
const tileStatesMax = pixelBufferPixelsMax / (tileSide * tileSide);

/** How many tile states the surfaces of one pipeline may still make. */
export class TileBudget {
  #left = tileStatesMax;

  take(): void {
    if (this.#left === 0) throw new DecodeError('limit', 'progressive surfaces remember too many tiles');
    this.#left -= 1;
  }

  giveBack(count: number): void {
    this.#left += count;
  }
}

/** Where one message draws, what that may cost, and what it drew. */
interface Destination {
  readonly target: PixelBuffer;
  readonly budget: WorkBudget;
  readonly drawn: Rectangle[];
}

type QuantsTriple = readonly [SubBandQuants, SubBandQuants, SubBandQuants];

interface Region {
  readonly rectangles: readonly Rectangle[];
  readonly quants: readonly SubBandQuants[];
  readonly progressiveQuants: readonly QuantsTriple[];
  readonly reduceExtrapolate: boolean;
}

const noQuants = new Uint8Array(subBandsCount);
const fullQuality: QuantsTriple = [noQuants, noQuants, noQuants];

export interface ProgressiveSnapshot {
  readonly tiles: readonly (readonly [number, TileState])[];
  readonly inFrame: boolean;
  readonly diffing: boolean;
  readonly usesUndeclared: boolean;
}

/** Tiles that were not drawn, as what they build on never came. */
export type ProgressiveHole = 'missingBase' | 'missingFirstPass';

/**
 * RemoteFX Progressive, [MS-RDPEGFX] 2.2.4.2 and 3.3.8.2: the tiles of one surface. All messages for that surface must come here, in
 * order, whatever codec context brings them: Windows opens a context for each burst, deletes it behind it, sends the CONTEXT block
 * once, and lets differences and upgrades go on from what the surface's tile last was.
 */
export class ProgressiveDecoder {
  readonly #budget: TileBudget;
  readonly #onHole: (hole: ProgressiveHole, tile: Rectangle) => void;
  readonly #tiles = new Map<number, TileState>();
  /** Pixels of tiles that a later region of the same frame may still show. */
  readonly #frameTiles = new Map<number, Uint32Array>();
  readonly #spareTiles: Uint32Array[] = [];
  #inFrame = false;
  /** The server said that it may send differences; nothing said means so too. */
  #diffing = true;
  #usesUndeclared = false;

  constructor(
    budget: TileBudget = new TileBudget(),
    onHole: (hole: ProgressiveHole, tile: Rectangle) => void = () => {},
  ) {
    this.#budget = budget;
    this.#onHole = onHole;
  }

  /** Some difference built on a tile of a stream that said it sends none: lean snapshots lack those. */
  get usesUndeclared(): boolean {
    return this.#usesUndeclared;
  }

  /** Decodes one message and draws it. Returns the rectangles drawn. Throws `DecodeError`; tiles before the bad one stay. */
  decode(bytes: Uint8Array, target: PixelBuffer, budget: WorkBudget = new WorkBudget()): Rectangle[] {
    const reader = new Reader(bytes);
    const drawn: Rectangle[] = [];
    while (reader.remaining > 0) {
      const blockType = reader.u16le();
      const blockLen = reader.u32le();
      if (blockLen < 6) throw reader.error('invalid', 'a progressive block is shorter than its header');
      this.#block(blockType, reader.sub(blockLen - 6), { target, budget, drawn });
    }
    return drawn;
  }

  /** What later messages may refer to, as plain values; `lean`: but for what no message should. To be taken between frames. */
  snapshot(depth: HistoryDepth = 'whole'): ProgressiveSnapshot {
    const whole = depth === 'whole' || this.#usesUndeclared;
    const kept = [...this.#tiles].filter(([, { diffing, signs }]) => whole || diffing || signs !== null);
    const tiles = kept.map(([key, state]) => [key, cloneTileState(state)] as const);
    return { tiles, inFrame: this.#inFrame, diffing: this.#diffing, usesUndeclared: this.#usesUndeclared };
  }

  restore(snapshot: ProgressiveSnapshot): void {
    this.dispose();
    for (const [key, state] of snapshot.tiles) {
      this.#budget.take();
      this.#tiles.set(key, cloneTileState(state));
    }
    this.#inFrame = snapshot.inFrame;
    this.#diffing = snapshot.diffing;
    this.#usesUndeclared = snapshot.usesUndeclared;
  }

  /** Regions of one frame share tiles; this ends the frame. */
  endFrame(): void {
    for (const pixels of this.#frameTiles.values()) this.#spareTiles.push(pixels);
    this.#frameTiles.clear();
  }

  /** Gives the remembered tiles back to the budget. */
  dispose(): void {
    this.#budget.giveBack(this.#tiles.size);
    this.#tiles.clear();
    this.#frameTiles.clear();
    this.#spareTiles.length = 0;
  }

  #block(blockType: number, block: Reader, destination: Destination): void {
    switch (blockType) {
      case wbtSync:
        readSync(block);
        return;
      case wbtFrameBegin:
        this.#inFrame = true;
        return;
      case wbtFrameEnd:
        this.#inFrame = false;
        return;
      case wbtContext:
        this.#context(block);
        return;
      case wbtRegion:
        // [MS-RDPEGFX] 2.2.4.2.1.5: a region outside a frame MUST be ignored.
        if (this.#inFrame) this.#region(block, destination);
        return;
      default:
        throw block.error('invalid', `0x${blockType.toString(16)} is no progressive block type`);
    }
  }

  /** RFX_PROGRESSIVE_CONTEXT, [MS-RDPEGFX] 2.2.4.2.1.4. */
  #context(block: Reader): void {
    block.skip(1); // ctxId
    if (block.u16le() !== tileSide) throw block.error('invalid', 'progressive tiles are 64 pixels wide');
    this.#diffing = (block.u8() & subbandDiffing) !== 0;
  }

  /** RFX_PROGRESSIVE_REGION, [MS-RDPEGFX] 2.2.4.2.1.5. */
  #region(block: Reader, destination: Destination): void {
    const { target, drawn } = destination;
    if (block.u8() !== tileSide) throw block.error('invalid', 'progressive tiles are 64 pixels wide');
    const rectanglesCount = block.u16le();
    const quantsCount = block.u8();
    const progressiveQuantsCount = block.u8();
    const flags = block.u8();
    const tilesCount = block.u16le();
    const tileDataSize = block.u32le();
    const rectangles = readRectangles(block, rectanglesCount, bounds(target));
    if (rectangles.length * (tilesCount + this.#frameTiles.size) > comparisonsMax)
      throw block.error('limit', 'a progressive region has too many tiles and rectangles');
    const region: Region = {
      rectangles,
      quants: Array.from({ length: quantsCount }, () => readProgressiveQuants(block.slice(quantBytes))),
      progressiveQuants: Array.from({ length: progressiveQuantsCount }, () => readProgressiveQuant(block)),
      reduceExtrapolate: (flags & reduceExtrapolateFlag) !== 0,
    };
    // Tiles of earlier regions first: a tile of this one replaces them.
    this.#drawFrameTiles(region.rectangles, target);
    const tiles = block.sub(tileDataSize);
    for (let i = 0; i < tilesCount; i += 1) this.#tile(tiles, region, destination);
    for (const rectangle of rectangles) drawn.push(rectangle);
  }

  #tile(tiles: Reader, region: Region, { target, budget }: Destination): void {
    budget.spend(tileSide * tileSide);
    const blockType = tiles.u16le();
    const blockLen = tiles.u32le();
    if (blockLen < 6) throw tiles.error('invalid', 'a progressive tile is shorter than its header');
    const tile = tiles.sub(blockLen - 6);
    const quantsY = region.quants[tile.u8()];
    const quantsCb = region.quants[tile.u8()];
    const quantsCr = region.quants[tile.u8()];
    if (!quantsY || !quantsCb || !quantsCr)
      throw tile.error('invalid', 'a progressive tile names a missing quantization');
    const x = tile.u16le();
    const y = tile.u16le();
    const columns = Math.ceil(target.width / tileSide);
    if (x >= columns || y * tileSide >= target.height)
      throw tile.error('invalid', 'a progressive tile lies outside its surface');
    const index = y * columns + x;
    const quants: QuantsTriple = [quantsY, quantsCb, quantsCr];
    const hole = this.#decodeTile(blockType, tile, region, quants, index);
    if (hole === null) this.#draw(index, x * tileSide, y * tileSide, region.rectangles, target);
    else this.#onHole(hole, { left: x * tileSide, top: y * tileSide, width: tileSide, height: tileSide });
  }

  #decodeTile(
    blockType: number,
    tile: Reader,
    region: Region,
    quants: QuantsTriple,
    index: number,
  ): ProgressiveHole | null {
    switch (blockType) {
      case wbtTileSimple:
      case wbtTileFirst:
        return this.#firstPass(tile, region, quants, index, blockType === wbtTileFirst);
      case wbtTileUpgrade:
        return this.#upgrade(tile, region, quants, index);
      default:
        throw tile.error('invalid', `0x${blockType.toString(16)} is no progressive tile type`);
    }
  }

  /** RFX_PROGRESSIVE_TILE_SIMPLE and RFX_PROGRESSIVE_TILE_FIRST, [MS-RDPEGFX] 2.2.4.2.1.5.3 and 2.2.4.2.1.5.4. */
  #firstPass(
    tile: Reader,
    region: Region,
    quants: QuantsTriple,
    index: number,
    hasQuality: boolean,
  ): ProgressiveHole | null {
    const difference = (tile.u8() & tileDifference) !== 0;
    const quality = hasQuality ? tile.u8() : qualityFull;
    const lengths = [tile.u16le(), tile.u16le(), tile.u16le()] as const;
    tile.skip(2); // tailLen: the tail holds nothing
    const data = [tile.slice(lengths[0]), tile.slice(lengths[1]), tile.slice(lengths[2])] as const;
    const progressive = quality !== qualityFull;
    const known = this.#tiles.get(index);
    if (difference && !known) return 'missingBase';
    if (difference && !known!.diffing) this.#usesUndeclared = true;
    const state = known ?? this.#createTile(index);
    state.diffing = this.#diffing;
    decodeFirstPass(
      {
        data,
        bitPositions: bitPositions(quants, progressiveQuants(region, quality)),
        difference,
        reduceExtrapolate: region.reduceExtrapolate,
        progressive,
      },
      state,
    );
    return null;
  }

  /** RFX_PROGRESSIVE_TILE_UPGRADE, [MS-RDPEGFX] 2.2.4.2.1.5.5. */
  #upgrade(tile: Reader, region: Region, quants: QuantsTriple, index: number): ProgressiveHole | null {
    const quality = tile.u8();
    const lengths = Array.from({ length: 6 }, () => tile.u16le());
    const [srlY, rawY, srlCb, rawCb, srlCr, rawCr] = lengths.map((length) => tile.slice(length));
    const state = this.#tiles.get(index);
    if (!state) return 'missingFirstPass';
    decodeUpgradePass(
      {
        srl: [srlY!, srlCb!, srlCr!],
        raw: [rawY!, rawCb!, rawCr!],
        bitPositions: bitPositions(quants, progressiveQuants(region, quality)),
        reduceExtrapolate: region.reduceExtrapolate,
      },
      state,
    );
    return null;
  }

  #createTile(index: number): TileState {
    this.#budget.take();
    const state = createTileState();
    this.#tiles.set(index, state);
    return state;
  }

  /** Draws the tile decoded last where the region shows it, and keeps its pixels if a later region may show more of it. */
  #draw(index: number, left: number, top: number, rectangles: readonly Rectangle[], target: PixelBuffer): void {
    const whole = intersect({ left, top, width: tileSide, height: tileSide }, bounds(target));
    if (rectangles.some((rectangle) => covers(rectangle, whole))) {
      tileEngine().write({ ...whole, left: 0, top: 0 }, target.words, top * target.width + left, target.width);
      const kept = this.#frameTiles.get(index);
      if (kept) this.#spareTiles.push(kept);
      this.#frameTiles.delete(index);
      return;
    }
    const pixels = this.#frameTiles.get(index) ?? this.#spareTiles.pop() ?? new Uint32Array(tileSide * tileSide);
    tileEngine().write({ left: 0, top: 0, width: tileSide, height: tileSide }, pixels, 0, tileSide);
    this.#frameTiles.set(index, pixels);
    drawPixels(pixels, left, top, rectangles, target);
  }

  #drawFrameTiles(rectangles: readonly Rectangle[], target: PixelBuffer): void {
    const columns = Math.ceil(target.width / tileSide);
    for (const [index, pixels] of this.#frameTiles) {
      const left = (index % columns) * tileSide;
      drawPixels(pixels, left, Math.floor(index / columns) * tileSide, rectangles, target);
    }
  }
}

function readSync(block: Reader): void {
  if (block.u32le() !== magic) throw block.error('invalid', 'a progressive stream has a wrong magic number');
  if (block.u16le() !== version10) throw block.error('unsupported', 'a progressive stream is not of version 1.0');
}

function readRectangles(block: Reader, count: number, clip: Rectangle): Rectangle[] {
  block.need(count * 8, 'progressive rectangles');
  const rectangles: Rectangle[] = [];
  for (let i = 0; i < count; i += 1) {
    const [left, top, width, height] = [block.u16le(), block.u16le(), block.u16le(), block.u16le()];
    const visible = intersect({ left, top, width, height }, clip);
    if (!isEmpty(visible)) rectangles.push(visible);
  }
  return rectangles;
}

/** RFX_PROGRESSIVE_CODEC_QUANT, [MS-RDPEGFX] 2.2.4.2.1.5.2. */
function readProgressiveQuant(block: Reader): QuantsTriple {
  block.skip(1); // quality, which only says how good the result is
  return [
    readProgressiveQuants(block.slice(quantBytes)),
    readProgressiveQuants(block.slice(quantBytes)),
    readProgressiveQuants(block.slice(quantBytes)),
  ];
}

function progressiveQuants(region: Region, quality: number): QuantsTriple {
  if (quality === qualityFull) return fullQuality;
  const quants = region.progressiveQuants[quality];
  if (!quants) throw new DecodeError('invalid', 'a progressive tile names a missing quality');
  return quants;
}

function bitPositions(quants: QuantsTriple, progressive: QuantsTriple): QuantsTriple {
  if (progressive === fullQuality) return quants;
  return [sum(quants[0], progressive[0]), sum(quants[1], progressive[1]), sum(quants[2], progressive[2])];
}

function sum(a: SubBandQuants, b: SubBandQuants): SubBandQuants {
  const result = new Uint8Array(subBandsCount);
  for (let band = 0; band < subBandsCount; band += 1) result[band] = a[band]! + b[band]!;
  return result;
}

function covers(outer: Rectangle, inner: Rectangle): boolean {
  return (
    outer.left <= inner.left &&
    outer.top <= inner.top &&
    outer.left + outer.width >= inner.left + inner.width &&
    outer.top + outer.height >= inner.top + inner.height
  );
}

/** Copies the parts of a tile's pixels that `rectangles` (clipped to `target`) show. */
function drawPixels(
  pixels: Uint32Array,
  left: number,
  top: number,
  rectangles: readonly Rectangle[],
  target: PixelBuffer,
): void {
  for (const rectangle of rectangles) {
    if (rectangle.left >= left + tileSide || rectangle.left + rectangle.width <= left) continue;
    if (rectangle.top >= top + tileSide || rectangle.top + rectangle.height <= top) continue;
    const area = intersect(rectangle, { left, top, width: tileSide, height: tileSide });
    for (let y = area.top; y < area.top + area.height; y += 1) {
      const from = (y - top) * tileSide + area.left - left;
      target.words.set(pixels.subarray(from, from + area.width), y * target.width + area.left);
    }
  }
}

/** An independent copy. */
function cloneTileState({ current, signs, bitPositions, diffing }: TileState): TileState {
  const [y, cb, cr] = current;
  return {
    current: [y.slice(), cb.slice(), cr.slice()],
    signs: signs && [signs[0].slice(), signs[1].slice(), signs[2].slice()],
    bitPositions,
    diffing,
  };
}
