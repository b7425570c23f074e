/**
 * Raster operations on pixel words: [MS-RDPEGDI] 2.2.2.2.1.1.1.6–7. The index of a ternary operation is its truth table:
 * bit (pattern << 2 | source << 1 | destination). Alpha bits come out wrong by design; the canvas sets them.
 */
export type RasterOperation = (destination: number, source: number, pattern: number) => number;

const common = new Map<number, RasterOperation>([
  [0x00, () => 0],
  [0x0f, (_d, _s, p) => ~p],
  [0x33, (_d, s) => ~s],
  [0x55, (d) => ~d],
  [0x5a, (d, _s, p) => d ^ p],
  [0x66, (d, s) => d ^ s],
  [0x88, (d, s) => d & s],
  [0xaa, (d) => d],
  [0xb8, (d, s, p) => ((d ^ p) & s) ^ p],
  [0xcc, (_d, s) => s],
  [0xe2, (d, s, p) => ((p ^ d) & s) ^ d],
  [0xee, (d, s) => d | s],
  [0xf0, (_d, _s, p) => p],
  [0xff, () => -1],
]);

export const rop3SourceCopy = 0xcc;
export const rop3PatternCopy = 0xf0;

export function rop3(index: number): RasterOperation {
  return common.get(index) ?? fromTruthTable(index);
}

function fromTruthTable(index: number): RasterOperation {
  return (d, s, p) => {
    let result = 0;
    for (let term = 0; term < 8; term += 1)
      if ((index >> term) & 1) result |= (term & 4 ? p : ~p) & (term & 2 ? s : ~s) & (term & 1 ? d : ~d);
    return result;
  };
}

/** Whether the operation's result depends on the source. */
export function usesSource(index: number): boolean {
  return ((index >> 2) & 0x33) !== (index & 0x33);
}

/** Whether the operation's result depends on the pattern. */
export function usesPattern(index: number): boolean {
  return index >> 4 !== (index & 0x0f);
}

/** The ternary index of a binary operation (1–16): pen and destination count, a source does not. */
export function rop3OfRop2(rop2: number): number {
  const table = (rop2 - 1) & 0x0f;
  let index = 0;
  for (let term = 0; term < 8; term += 1) index |= ((table >> (((term >> 2) << 1) | (term & 1))) & 1) << term;
  return index;
}
