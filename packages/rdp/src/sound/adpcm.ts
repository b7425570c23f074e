/** ADPCM as WAVE files have it: blocks that stand alone, four bits a sample. */

const imaSteps = new Int32Array([
  7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97, 107, 118,
  130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963, 1060,
  1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484,
  7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794, 32767,
]);
const imaIndexSteps = new Int8Array([-1, -1, -1, -1, 2, 4, 6, 8]);

const clamp16 = (value: number): number => Math.max(-32768, Math.min(32767, value));
const i16 = (bytes: Uint8Array, at: number): number => ((bytes[at]! | (bytes[at + 1]! << 8)) << 16) >> 16;

/** IMA ADPCM (RFC 2361 A.12): samples of all channels, interleaved. */
export function decodeImaAdpcm(data: Uint8Array, channels: number, blockBytes: number): Int16Array {
  const samples: number[] = [];
  for (let start = 0; start + 4 * channels <= data.length; start += blockBytes)
    imaBlock(data.subarray(start, start + blockBytes), channels, samples);
  return Int16Array.from(samples);
}

function imaBlock(block: Uint8Array, channels: number, samples: number[]): void {
  const predictors = Array.from({ length: channels }, (_, channel) => i16(block, 4 * channel));
  const indexes = Array.from({ length: channels }, (_, channel) => Math.min(88, block[4 * channel + 2]!));
  samples.push(...predictors);
  // Four bytes of each channel in turn, eight samples.
  for (let at = 4 * channels; at + 4 * channels <= block.length; at += 4 * channels) {
    const base = samples.length;
    for (let channel = 0; channel < channels; channel += 1)
      for (let i = 0; i < 8; i += 1) {
        const nibble = (block[at + 4 * channel + (i >> 1)]! >> (4 * (i & 1))) & 15;
        const step = imaSteps[indexes[channel]!]!;
        let change = step >> 3;
        if (nibble & 4) change += step;
        if (nibble & 2) change += step >> 1;
        if (nibble & 1) change += step >> 2;
        predictors[channel] = clamp16(predictors[channel]! + (nibble & 8 ? -change : change));
        indexes[channel] = Math.max(0, Math.min(88, indexes[channel]! + imaIndexSteps[nibble & 7]!));
        samples[base + channels * i + channel] = predictors[channel]!;
      }
  }
}

const msAdaptation = new Int32Array([230, 230, 230, 230, 307, 409, 512, 614, 768, 614, 512, 409, 307, 230, 230, 230]);
const msCoefficients: readonly (readonly [number, number])[] = [
  [256, 0],
  [512, -256],
  [0, 0],
  [192, 64],
  [240, 0],
  [460, -208],
  [392, -232],
];
const MS_HEADER_BYTES = 7;
const MS_DELTA_MIN = 16;

/** Microsoft ADPCM (RFC 2361 A.2): samples of all channels, interleaved. */
export function decodeMsAdpcm(data: Uint8Array, channels: number, blockBytes: number): Int16Array {
  const samples: number[] = [];
  for (let start = 0; start + MS_HEADER_BYTES * channels <= data.length; start += blockBytes)
    msBlock(data.subarray(start, start + blockBytes), channels, samples);
  return Int16Array.from(samples);
}

function msBlock(block: Uint8Array, channels: number, samples: number[]): void {
  const word = (row: number, channel: number): number => i16(block, channels + 2 * (row * channels + channel));
  const all = Array.from({ length: channels }, (_, channel) => ({
    coefficients: msCoefficients[Math.min(6, block[channel]!)]!,
    delta: word(0, channel),
    one: word(1, channel),
    two: word(2, channel),
  }));
  for (const { two } of all) samples.push(two);
  for (const { one } of all) samples.push(one);
  for (let i = 0; i < 2 * (block.length - MS_HEADER_BYTES * channels); i += 1) {
    const byte = block[MS_HEADER_BYTES * channels + (i >> 1)]!;
    const nibble = i % 2 === 0 ? byte >> 4 : byte & 15;
    const state = all[i % channels]!;
    const [first, second] = state.coefficients;
    const predicted = (state.one * first + state.two * second) >> 8;
    const sample = clamp16(predicted + (nibble & 8 ? nibble - 16 : nibble) * state.delta);
    state.two = state.one;
    state.one = sample;
    state.delta = Math.max(MS_DELTA_MIN, (msAdaptation[nibble]! * state.delta) >> 8);
    samples.push(sample);
  }
}
