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

type Load = (address: Code, offset?: number) => Code;
type Store = (address: Code, value: Code, offset?: number) => Code;
type Unary = (a: Code) => Code;
type Binary = (a: Code, b: Code) => Code;

const load =
  (...opcode: number[]): Load =>
  (address, offset = 0) => [...address, ...opcode, 0, ...unsignedLeb(offset)];
const store =
  (...opcode: number[]): Store =>
  (address, value, offset = 0) => [...address, ...value, ...opcode, 0, ...unsignedLeb(offset)];
const unary =
  (...opcode: number[]): Unary =>
  (a) => [...a, ...opcode];
const binary =
  (...opcode: number[]): Binary =>
  (a, b) => [...a, ...b, ...opcode];

export const i32 = {
  const: (value: number): Code => [0x41, ...signedLeb(value)],
  eqz: unary(0x45),
  eq: binary(0x46),
  ne: binary(0x47),
  ltS: binary(0x48),
  ltU: binary(0x49),
  gtS: binary(0x4a),
  gtU: binary(0x4b),
  geS: binary(0x4e),
  geU: binary(0x4f),
  ctz: unary(0x68),
  add: binary(0x6a),
  sub: binary(0x6b),
  mul: binary(0x6c),
  and: binary(0x71),
  or: binary(0x72),
  xor: binary(0x73),
  shl: binary(0x74),
  shrS: binary(0x75),
  shrU: binary(0x76),
  wrapI64: unary(0xa7),
  load: load(0x28),
  load8U: load(0x2d),
  load16S: load(0x2e),
  load16U: load(0x2f),
  store: store(0x36),
  store8: store(0x3a),
  store16: store(0x3b),
};

export const i64 = {
  const: (value: number): Code => [0x42, ...signedLeb(value)],
  clz: unary(0x79),
  and: binary(0x83),
  or: binary(0x84),
  xor: binary(0x85),
  shl: binary(0x86),
  shrU: binary(0x88),
  extendI32U: unary(0xad),
  load: load(0x29),
  store: store(0x37),
};

function simd(opcode: number, ...immediates: number[]): number[] {
  return [0xfd, ...unsignedLeb(opcode), ...immediates];
}

const simdUnary = (opcode: number): Unary => unary(...simd(opcode));
const simdBinary = (opcode: number): Binary => binary(...simd(opcode));

export const v128 = {
  load: load(...simd(0x00)),
  store: store(...simd(0x0b)),
  /** One value of memory in every lane. */
  load8Splat: load(...simd(0x07)),
  load32Splat: load(...simd(0x09)),
  /** Eight bytes, and zeros above. */
  load64Zero: load(...simd(0x5d)),
  /** Bytes 0–15 name bytes of `a`, 16–31 those of `b`. */
  shuffle: (a: Code, b: Code, bytes: readonly number[]): Code => [...a, ...b, ...simd(0x0d, ...bytes)],
  const: (bytes: readonly number[]): Code => simd(0x0c, ...bytes),
  not: simdUnary(0x4d),
  and: simdBinary(0x4e),
  or: simdBinary(0x50),
  xor: simdBinary(0x51),
  /** Bits of `a` where `mask` has ones, else of `b`. */
  select: (a: Code, b: Code, mask: Code): Code => [...a, ...b, ...mask, ...simd(0x52)],
};

export const i16x8 = {
  splat: simdUnary(0x10),
  extendLowI8x16U: simdUnary(0x89),
  extendHighI8x16U: simdUnary(0x8a),
  extendLowI8x16S: simdUnary(0x87),
  extendHighI8x16S: simdUnary(0x88),
  abs: simdUnary(0x80),
  ltS: simdBinary(0x2f),
  mul: simdBinary(0x95),
  add: simdBinary(0x8e),
  sub: simdBinary(0x91),
  /** The second operand is a scalar. */
  shl: simdBinary(0x8b),
  shrS: simdBinary(0x8c),
  narrowI32x4S: simdBinary(0x86),
};

/** Bytes of a `v128.shuffle` that takes 16-bit lanes of two vectors in turn: their lower or upper halves. */
export const interleaveLow = [0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23];
export const interleaveHigh = [8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31];

export const i8x16 = {
  splat: simdUnary(0x0f),
  /** Bytes of `a` by the numbers in `b`; 0 for a number above 15. */
  swizzle: simdBinary(0x0e),
  eq: simdBinary(0x23),
  /** One bit for each lane: its highest. */
  bitmask: simdUnary(0x64),
  narrowI16x8U: simdBinary(0x66),
  shl: simdBinary(0x6b),
  shrS: simdBinary(0x6c),
  shrU: simdBinary(0x6d),
  add: simdBinary(0x6e),
  sub: simdBinary(0x71),
};

export const i32x4 = {
  splat: simdUnary(0x11),
  eq: simdBinary(0x37),
  extendLowI16x8S: simdUnary(0xa7),
  extendHighI16x8S: simdUnary(0xa8),
  extendLowI16x8U: simdUnary(0xa9),
  extendHighI16x8U: simdUnary(0xaa),
  shl: simdBinary(0xab),
  shrS: simdBinary(0xac),
  shrU: simdBinary(0xad),
  add: simdBinary(0xae),
  sub: simdBinary(0xb1),
  mul: simdBinary(0xb5),
};

/** Runs `body` and again as long as `condition` holds. */
export function doWhile(body: Code, condition: Code): Code {
  return [0x03, 0x40, ...body, ...condition, 0x0d, 0, 0x0b];
}

export function ifElse(condition: Code, then: Code, otherwise: Code): Code {
  return [...condition, 0x04, 0x40, ...then, 0x05, ...otherwise, 0x0b];
}

/** Runs `body` as long as `condition` holds, maybe never. */
export function whileLoop(condition: Code, body: Code): Code {
  return when(condition, doWhile(body, condition));
}

export function when(condition: Code, then: Code): Code {
  return [...condition, 0x04, 0x40, ...then, 0x0b];
}

/** `a` where the condition holds, else `b`; both are computed. */
export function select(condition: Code, a: Code, b: Code): Code {
  return [...a, ...b, ...condition, 0x1b];
}

export function returnValue(value: Code): Code {
  return [...value, 0x0f];
}

export function block(...parts: readonly Code[]): Code {
  return parts.flat();
}

/** A function of i32 parameters; its result, where it has one, is an i32 too. */
export interface WasmFunction {
  readonly name: string;
  readonly parametersCount: number;
  readonly i32LocalsCount: number;
  readonly i64LocalsCount?: number;
  readonly v128LocalsCount: number;
  readonly returnsI32?: boolean;
  readonly body: Code;
}

/** A function's local variables by name, in the order WebAssembly numbers them. */
export interface Locals<N extends string> {
  readonly parameters: readonly N[];
  readonly i32?: readonly N[];
  readonly i64?: readonly N[];
  readonly v128?: readonly N[];
}

/** A function whose body names its variables. With `returnsI32` the body leaves the result. */
export function wasmFunction<const N extends string>(
  name: string,
  { parameters, i32 = [], i64 = [], v128 = [] }: Locals<N>,
  body: (locals: Record<N, Local>) => Code,
  returnsI32 = false,
): WasmFunction {
  const names = [...parameters, ...i32, ...i64, ...v128];
  const locals = Object.fromEntries(names.map((one, index) => [one, local(index)])) as Record<N, Local>;
  return {
    name,
    parametersCount: parameters.length,
    i32LocalsCount: i32.length,
    i64LocalsCount: i64.length,
    v128LocalsCount: v128.length,
    returnsI32,
    body: body(locals),
  };
}

const typeI32 = 0x7f;
const typeI64 = 0x7e;
const typeV128 = 0x7b;

function section(id: number, entries: readonly (readonly number[])[]): number[] {
  const content = [...unsignedLeb(entries.length), ...entries.flat()];
  return [id, ...unsignedLeb(content.length), ...content];
}

function name(text: string): number[] {
  return [text.length, ...Array.from(text, (character) => character.charCodeAt(0))];
}

/** A module of some pages (64 KiB) of memory, exported as `memory`, and `functions` under their names. */
export function wasmModule(functions: readonly WasmFunction[], pagesCount = 1): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ parametersCount, returnsI32 }) => [
    ...[0x60, parametersCount, ...new Array(parametersCount).fill(typeI32)],
    ...(returnsI32 ? [1, typeI32] : [0]),
  ]);
  const exports = functions.map((one, i) => [...name(one.name), 0x00, i]);
  const bodies = functions.map((one) => {
    const i64LocalsCount = one.i64LocalsCount ?? 0;
    const locals = [3, one.i32LocalsCount, typeI32, i64LocalsCount, typeI64, one.v128LocalsCount, typeV128];
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
    ...section(5, [[0x00, ...unsignedLeb(pagesCount)]]),
    ...section(7, [[...name('memory'), 0x02, 0], ...exports]),
    ...section(10, bodies),
  ]);
}
