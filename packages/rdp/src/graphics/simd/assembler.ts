/**
 * A very small WebAssembly assembler: expressions are byte sequences, put together by functions named like the instructions
 * they emit (WebAssembly core specification 2.0, chapter 5). It exists because JavaScript has no SIMD and this project ships
 * no binaries nobody can read.
 */

/** Instructions that leave nothing or one value on the stack. */
export type Code = readonly number[];

function unsignedLeb(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  do {
    const byte = left & 0x7f;
    left >>>= 7;
    bytes.push(left === 0 ? byte : byte | 0x80);
  } while (left !== 0);
  return bytes;
}

function signedLeb(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  for (;;) {
    const byte = left & 0x7f;
    left >>= 7;
    const done = (left === 0 && !(byte & 0x40)) || (left === -1 && byte & 0x40);
    bytes.push(done ? byte : byte | 0x80);
    if (done) return bytes;
  }
}

/** A local variable or parameter. */
export interface Local {
  readonly get: Code;
  set(value: Code): Code;
}

export function local(index: number): Local {
  return { get: [0x20, index], set: (value) => [...value, 0x21, index] };
}

export const i32 = {
  const: (value: number): Code => [0x41, ...signedLeb(value)],
  add: (a: Code, b: Code): Code => [...a, ...b, 0x6a],
  sub: (a: Code, b: Code): Code => [...a, ...b, 0x6b],
  mul: (a: Code, b: Code): Code => [...a, ...b, 0x6c],
  shl: (a: Code, b: Code): Code => [...a, ...b, 0x74],
  shrS: (a: Code, b: Code): Code => [...a, ...b, 0x75],
  eq: (a: Code, b: Code): Code => [...a, ...b, 0x46],
  ltU: (a: Code, b: Code): Code => [...a, ...b, 0x49],
  load16S: (address: Code): Code => [...address, 0x2e, 0, 0],
  store16: (address: Code, value: Code): Code => [...address, ...value, 0x3b, 0, 0],
};

function simd(opcode: number, ...immediates: number[]): number[] {
  return [0xfd, ...unsignedLeb(opcode), ...immediates];
}

function binary(opcode: number): (a: Code, b: Code) => Code {
  return (a, b) => [...a, ...b, ...simd(opcode)];
}

function unary(opcode: number): (a: Code) => Code {
  return (a) => [...a, ...simd(opcode)];
}

export const v128 = {
  load: (address: Code): Code => [...address, ...simd(0x00, 0, 0)],
  store: (address: Code, value: Code): Code => [...address, ...value, ...simd(0x0b, 0, 0)],
  /** Bytes 0–15 name bytes of `a`, 16–31 those of `b`. */
  shuffle: (a: Code, b: Code, bytes: readonly number[]): Code => [...a, ...b, ...simd(0x0d, ...bytes)],
  const: (bytes: readonly number[]): Code => simd(0x0c, ...bytes),
  and: binary(0x4e),
  /** Bits of `a` where `mask` has ones, else of `b`. */
  select: (a: Code, b: Code, mask: Code): Code => [...a, ...b, ...mask, ...simd(0x52)],
};

export const i16x8 = {
  splat: unary(0x10),
  extendLowI8x16U: unary(0x89),
  extendHighI8x16U: unary(0x8a),
  abs: unary(0x80),
  ltS: binary(0x2f),
  mul: binary(0x95),
  add: binary(0x8e),
  sub: binary(0x91),
  /** The second operand is a scalar. */
  shl: binary(0x8b),
  shrS: binary(0x8c),
  narrowI32x4S: binary(0x86),
};

/** Bytes of a `v128.shuffle` that takes 16-bit lanes of two vectors in turn: their lower or upper halves. */
export const interleaveLow = [0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23];
export const interleaveHigh = [8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31];

export const i8x16 = { narrowI16x8U: binary(0x66) };

export const i32x4 = {
  splat: unary(0x11),
  extendLowI16x8S: unary(0xa7),
  extendHighI16x8S: unary(0xa8),
  shl: binary(0xab),
  shrS: binary(0xac),
  add: binary(0xae),
  sub: binary(0xb1),
  mul: binary(0xb5),
};

/** Runs `body` and again as long as `condition` holds. */
export function doWhile(body: Code, condition: Code): Code {
  return [0x03, 0x40, ...body, ...condition, 0x0d, 0, 0x0b];
}

export function ifElse(condition: Code, then: Code, otherwise: Code): Code {
  return [...condition, 0x04, 0x40, ...then, 0x05, ...otherwise, 0x0b];
}

export function block(...parts: readonly Code[]): Code {
  return parts.flat();
}

/** A function of i32 parameters without results. */
export interface WasmFunction {
  readonly name: string;
  readonly parametersCount: number;
  readonly i32LocalsCount: number;
  readonly v128LocalsCount: number;
  readonly body: Code;
}

const typeI32 = 0x7f;
const typeV128 = 0x7b;

function section(id: number, entries: readonly (readonly number[])[]): number[] {
  const content = [...unsignedLeb(entries.length), ...entries.flat()];
  return [id, ...unsignedLeb(content.length), ...content];
}

function name(text: string): number[] {
  return [text.length, ...Array.from(text, (character) => character.charCodeAt(0))];
}

/** A module of one page of memory, exported as `memory`, and `functions` under their names. */
export function wasmModule(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  const types = functions.map((one) => [0x60, one.parametersCount, ...new Array(one.parametersCount).fill(typeI32), 0]);
  const exports = functions.map((one, i) => [...name(one.name), 0x00, i]);
  const bodies = functions.map((one) => {
    const locals = [2, one.i32LocalsCount, typeI32, one.v128LocalsCount, typeV128];
    const code = [...locals, ...one.body, 0x0b];
    return [...unsignedLeb(code.length), ...code];
  });
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, types),
    ...section(
      3,
      functions.map((_, i) => [i]),
    ),
    ...section(5, [[0x00, 1]]),
    ...section(7, [[...name('memory'), 0x02, 0], ...exports]),
    ...section(10, bodies),
  ]);
}
