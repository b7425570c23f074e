/**
 * Run-Length Golomb-Rice entropy decoding, [MS-RDPRFX] 3.1.8.1.7.3. One call turns the bits of one tile component into its
 * 4096 quantized coefficients.
 */

/** RLGR1 favours speed, RLGR3 ratio; [MS-RDPRFX] 2.2.2.1.1 calls them CLW_ENTROPY_RLGR1 and CLW_ENTROPY_RLGR3. */
export type RlgrMode = 1 | 3;

/** Coefficients in a 64 × 64 tile component. */
export const tileCoefficients = 4096;

const parameterMax = 80; // KPMAX
const fractionBits = 3; // LSGR: parameters k and kr carry this many fractional bits
const upRun = 4; // UP_GR
const downRun = 6; // DN_GR
const upQuiet = 3; // UQ_GR
const downQuiet = 3; // DQ_GR

/** Compressed lengths are 16-bit fields; past the end the reader sees zeros. */
const input = new Uint8Array(0x10000 + 16);
const view = new DataView(input.buffer);

/**
 * Decodes `bytes` (at most 65,535) into `output`, which it fills up with zeros where the bits end early. Returns the index
 * of the first coefficient that isn't zero, or 4096: the sub-bands before it need no work.
 */
export function decodeRlgr(mode: RlgrMode, bytes: Uint8Array, output: Int16Array): number {
  const length = Math.min(bytes.length, 0xffff);
  input.set(length === bytes.length ? bytes : bytes.subarray(0, length));
  input.fill(0, length, length + 16);
  output.fill(0, 0, tileCoefficients);
  const end = length * 8;
  const rlgr3 = mode === 3;
  let at = 0; // bit position
  let index = 0;
  let first = tileCoefficients;
  let k = 1;
  let kp = 1 << fractionBits;
  let kr = 1;
  let krp = 1 << fractionBits;

  // A window of at least 25 valid bits starts at the high end of `bits`; every field below fits it or loops.
  while (at < end && index < tileCoefficients) {
    let run = 0;
    let sign = 0;
    const runMode = k !== 0;
    if (runMode) {
      let bits = view.getInt32(at >> 3) << (at & 7);
      // Each 0 stands for 2^k zeros, and k grows with it.
      while (bits >= 0) {
        at += 1;
        if (at > end) return first;
        run += 1 << k;
        kp = Math.min(kp + upRun, parameterMax);
        k = kp >> fractionBits;
        bits = (at & 7) === 0 ? view.getInt32(at >> 3) : bits << 1;
      }
      at += 1;
      bits = view.getInt32(at >> 3) << (at & 7);
      if (k !== 0) run += bits >>> (32 - k);
      sign = (bits << k) >>> 31;
      at += k + 1;
    }

    // Golomb-Rice code: ones, a zero, kr remainder bits.
    let bits = view.getInt32(at >> 3) << (at & 7);
    let ones = Math.clz32(~bits);
    if (ones > 16) {
      ones = 0;
      while (at < end && view.getInt32(at >> 3) << (at & 7) < 0) {
        ones += 1;
        at += 1;
      }
      at += 1;
    } else {
      at += ones + 1;
    }
    bits = view.getInt32(at >> 3) << (at & 7);
    const code = kr === 0 ? ones : (ones << kr) | (bits >>> (32 - kr));
    at += kr;
    if (at > end) return first;
    if (ones === 0) {
      krp = krp > 2 ? krp - 2 : 0;
      kr = krp >> fractionBits;
    } else if (ones !== 1) {
      krp = Math.min(krp + ones, parameterMax);
      kr = krp >> fractionBits;
    }

    if (runMode) {
      kp = kp > downRun ? kp - downRun : 0;
      k = kp >> fractionBits;
      index += run;
      if (index >= tileCoefficients) return first;
      output[index] = sign === 0 ? code + 1 : -(code + 1);
      if (index < first) first = index;
      index += 1;
    } else if (rlgr3) {
      // Two values share one code: its bit width says how many bits the first takes.
      const width = code === 0 ? 0 : 32 - Math.clz32(code);
      bits = view.getInt32(at >> 3) << (at & 7);
      const value1 = width === 0 ? 0 : width > 25 ? 0 : bits >>> (32 - width);
      at += width;
      if (at > end) return first;
      const value2 = code - value1;
      if (value1 !== 0 && value2 !== 0) kp = kp > 2 * downQuiet ? kp - 2 * downQuiet : 0;
      else if (value1 === 0 && value2 === 0) kp = Math.min(kp + 2 * upQuiet, parameterMax);
      k = kp >> fractionBits;
      if (value1 !== 0) {
        output[index] = (value1 & 1) === 1 ? -((value1 + 1) >> 1) : value1 >> 1;
        if (index < first) first = index;
      }
      index += 1;
      if (value2 !== 0 && index < tileCoefficients) {
        output[index] = (value2 & 1) === 1 ? -((value2 + 1) >> 1) : value2 >> 1;
        if (index < first) first = index;
      }
      index += 1;
    } else {
      if (code === 0) kp = Math.min(kp + upQuiet, parameterMax);
      else kp = kp > downQuiet ? kp - downQuiet : 0;
      k = kp >> fractionBits;
      if (code !== 0) {
        output[index] = (code & 1) === 1 ? -((code + 1) >> 1) : code >> 1;
        if (index < first) first = index;
      }
      index += 1;
    }
  }
  return first;
}
