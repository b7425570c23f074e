import { DecodeError } from '@lucid-sessions/wire';
import { decodeRlgr, tileCoefficients } from '../rfx/rlgr.ts';
import {
  dequantizedLl3,
  isFlat,
  ll3,
  originalLayout,
  reduceExtrapolateLayout,
  type SubBandQuants,
  subBandsCount,
  sumLl3,
} from '../rfx/sub-bands.ts';
import { type Component, components, tileEngine } from '../rfx/tile-engine.ts';
import { createBitBuffer, ProgressiveBits, SrlDecoder } from './srl.ts';

/** More bits than a coefficient has can't be added to it. */
const upgradeBitsMax = 15;

type BitPositions = readonly [SubBandQuants, SubBandQuants, SubBandQuants];

/**
 * What a tile keeps between messages, [MS-RDPEGFX] 3.3.8.2.1: its coefficients ("current frame"), the bits of them that are known,
 * and while more can follow the sign of each.
 */
export interface TileState {
  readonly current: readonly [Int16Array, Int16Array, Int16Array];
  signs: readonly [Int8Array, Int8Array, Int8Array] | null;
  /** Quantization plus progressive quantization of each component: a coefficient is known above this bit. */
  bitPositions: BitPositions;
  /** The stream that brought it may send differences to it. */
  diffing: boolean;
}

export function createTileState(): TileState {
  const plane = () => new Int16Array(tileCoefficients);
  const unknown = new Uint8Array(subBandsCount);
  return {
    current: [plane(), plane(), plane()],
    signs: null,
    bitPositions: [unknown, unknown, unknown],
    diffing: true,
  };
}

function createSigns(): readonly [Int8Array, Int8Array, Int8Array] {
  const plane = () => new Int8Array(tileCoefficients);
  return [plane(), plane(), plane()];
}

/** Compressed components and their bit positions, in the order Y, Cb, Cr. */
export interface FirstPass {
  readonly data: readonly [Uint8Array, Uint8Array, Uint8Array];
  readonly bitPositions: BitPositions;
  /** RFX_TILE_DIFFERENCE: coefficients are added to the tile's. */
  readonly difference: boolean;
  readonly reduceExtrapolate: boolean;
  /** Whether upgrades may follow. */
  readonly progressive: boolean;
}

/** Decodes TILE_SIMPLE or TILE_FIRST, [MS-RDPEGFX] 3.3.8.2.1.1. */
export function decodeFirstPass(pass: FirstPass, state: TileState): void {
  state.signs = pass.progressive ? (state.signs ?? createSigns()) : null;
  state.bitPositions = pass.bitPositions;
  for (const component of components) firstPassComponent(pass, component, state);
}

function firstPassComponent(pass: FirstPass, component: Component, state: TileState): void {
  const engine = tileEngine();
  const plane = engine.planes[component];
  const { samples } = plane;
  const quants = pass.bitPositions[component];
  const layout = pass.reduceExtrapolate ? reduceExtrapolateLayout : originalLayout;
  const first = decodeRlgr(1, pass.data[component], samples);
  const signs = state.signs?.[component];
  if (signs) for (let i = 0; i < tileCoefficients; i += 1) signs[i] = signOf(samples[i]!);
  const current = state.current[component];
  const { difference } = pass;
  plane.flat = !difference && isFlat(samples, layout, first);
  const flatValue = dequantizedLl3(samples[layout.ll3Start]!, quants);
  sumLl3(samples, layout);
  engine.dequantize(component, quants, layout, first);
  if (difference) for (let i = 0; i < tileCoefficients; i += 1) samples[i] = samples[i]! + current[i]!;
  current.set(samples);
  if (plane.flat) samples.fill(flatValue);
  else engine.inverse(component, layout, difference ? 0 : first);
}

/** Math.sign without floating point. */
function signOf(value: number): number {
  return (value >> 31) | (-value >>> 31);
}

export interface UpgradePass {
  readonly srl: readonly [Uint8Array, Uint8Array, Uint8Array];
  readonly raw: readonly [Uint8Array, Uint8Array, Uint8Array];
  readonly bitPositions: BitPositions;
  readonly reduceExtrapolate: boolean;
}

/** Decodes TILE_UPGRADE, [MS-RDPEGFX] 3.3.8.2.1.2. Throws `DecodeError` where it brings bits to a tile that lacks none. */
export function decodeUpgradePass(pass: UpgradePass, state: TileState): void {
  const { signs, bitPositions } = state;
  const engine = tileEngine();
  const layout = pass.reduceExtrapolate ? reduceExtrapolateLayout : originalLayout;
  for (const component of components) {
    upgradeComponent(pass, component, bitPositions[component], state.current[component], signs?.[component] ?? null);
    const plane = engine.planes[component];
    plane.samples.set(state.current[component]);
    plane.flat = false;
    engine.inverse(component, layout, 0);
  }
  state.bitPositions = pass.bitPositions;
}

const srlBuffer = createBitBuffer();
const rawBuffer = createBitBuffer();

function upgradeComponent(
  pass: UpgradePass,
  component: Component,
  known: SubBandQuants,
  current: Int16Array,
  signs: Int8Array | null,
): void {
  const { starts } = pass.reduceExtrapolate ? reduceExtrapolateLayout : originalLayout;
  const srl = new SrlDecoder(pass.srl[component], srlBuffer);
  const raw = new ProgressiveBits(pass.raw[component], rawBuffer);
  for (let band = 0; band < subBandsCount; band += 1) {
    const position = pass.bitPositions[component][band]!;
    const bitsCount = known[band]! - position;
    if (bitsCount < 0 || bitsCount > upgradeBitsMax)
      throw new DecodeError('invalid', 'a tile upgrade takes bits back or adds too many');
    if (bitsCount === 0) continue;
    if (!signs) throw new DecodeError('invalid', 'a tile is upgraded that was sent whole');
    const shift = Math.max(position - 1, 0);
    if (band === ll3) upgradeLl3(raw, bitsCount, shift, current, starts[band]!);
    else upgradeBand(srl, raw, bitsCount, shift, current, signs, starts[band]!, starts[band + 1]!);
  }
}

/** LL3 values are floors of what they stand for: the bits that follow only ever add. */
function upgradeLl3(raw: ProgressiveBits, bitsCount: number, shift: number, current: Int16Array, start: number): void {
  for (let i = start; i < tileCoefficients; i += 1) current[i] = current[i]! + (raw.bits(bitsCount) << shift);
}

/** Coefficients whose sign is known come as raw magnitudes, the others in SRL code. */
function upgradeBand(
  srl: SrlDecoder,
  raw: ProgressiveBits,
  bitsCount: number,
  shift: number,
  current: Int16Array,
  signs: Int8Array,
  start: number,
  end: number,
): void {
  for (let i = start; i < end; i += 1) {
    const sign = signs[i]!;
    if (sign !== 0) {
      const value = raw.bits(bitsCount);
      current[i] = current[i]! + ((sign * value) << shift);
    } else if (srl.zeros > 0) {
      srl.zeros -= 1;
    } else {
      const value = srl.read(bitsCount);
      if (value === 0) continue;
      signs[i] = signOf(value);
      current[i] = current[i]! + (value << shift);
    }
  }
}
