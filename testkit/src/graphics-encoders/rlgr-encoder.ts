import { BitWriter } from './bit-writer.ts';

/** The encoder of [MS-RDPRFX] 3.1.8.1.7.3, written from its pseudo-code. */
export function encodeRlgr(mode: 1 | 3, input: ArrayLike<number>): Uint8Array {
  const bits = new BitWriter();
  let kp = 8;
  let krp = 8;
  const clamp = (value: number) => Math.max(0, Math.min(80, value));
  const codeGr = (value: number) => {
    const kr = krp >> 3;
    const vk = value >> kr;
    bits.repeat(1, vk);
    bits.bit(0);
    bits.bits(value & ((1 << kr) - 1), kr);
    if (vk === 0) krp = clamp(krp - 2);
    else if (vk > 1) krp = clamp(krp + vk);
  };
  const twoMagnitudeMinusSign = (value: number) => 2 * Math.abs(value) - (value < 0 ? 1 : 0);
  let at = 0;
  const next = () => (at < input.length ? input[at++]! : 0);
  while (at < input.length) {
    if (kp >> 3 > 0) {
      let zeros = 0;
      let value = next();
      while (value === 0 && at < input.length) {
        zeros += 1;
        value = next();
      }
      while (zeros >= 1 << (kp >> 3)) {
        bits.bit(0);
        zeros -= 1 << (kp >> 3);
        kp = clamp(kp + 4);
      }
      // Zeros to the end need no more words: what isn't sent is zero. (The pseudo-code ends them with a value, which can't be 0.)
      if (value === 0) break;
      bits.bit(1);
      bits.bits(zeros, kp >> 3);
      bits.bit(value < 0 ? 1 : 0);
      codeGr(Math.abs(value) - 1);
      kp = clamp(kp - 6);
    } else if (mode === 1) {
      const value = twoMagnitudeMinusSign(next());
      codeGr(value);
      kp = clamp(value === 0 ? kp + 3 : kp - 3);
    } else {
      const first = twoMagnitudeMinusSign(next());
      const second = twoMagnitudeMinusSign(next());
      const sum = first + second;
      codeGr(sum);
      bits.bits(first, sum === 0 ? 0 : 32 - Math.clz32(sum));
      if (first && second) kp = clamp(kp - 6);
      else if (!first && !second) kp = clamp(kp + 6);
    }
  }
  return bits.bytes();
}

/** The Simplified Run-Length encoder of [MS-RDPEGFX] 3.2.8.1.5.1: `values` with the bits each may have. */
export function encodeSrl(values: readonly { value: number; bitsCount: number }[]): Uint8Array {
  const bits = new BitWriter();
  let kp = 8;
  let zeros = 0;
  const flush = () => {
    while (zeros >= 1 << (kp >> 3)) {
      bits.bit(0);
      zeros -= 1 << (kp >> 3);
      kp = Math.min(80, kp + 4);
    }
  };
  for (const { value, bitsCount } of values) {
    if (value === 0) {
      zeros += 1;
      continue;
    }
    flush();
    bits.bit(1);
    bits.bits(zeros, kp >> 3);
    zeros = 0;
    bits.bit(value < 0 ? 1 : 0);
    kp = Math.max(0, kp - 6);
    const magnitude = Math.abs(value);
    bits.repeat(0, bitsCount === 1 ? 0 : magnitude - 1);
    if (bitsCount > 1 && magnitude < (1 << bitsCount) - 1) bits.bit(1);
  }
  if (zeros > 0) flush();
  if (zeros > 0) bits.bit(0);
  return bits.bytes();
}
