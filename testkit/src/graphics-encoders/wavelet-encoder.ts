/**
 * The forward half of RemoteFX: colour conversion, wavelet transform and quantization, from [MS-RDPRFX] 3.1.8.1 and
 * [MS-RDPEGFX] 3.2.8.1.2. Clear rather than fast.
 */
import type { PixelBuffer } from '@lucid-sessions/graphics';

/** Y, Cb and Cr of a 64 × 64 tile in 11.5 fixed point. Pixels outside the picture repeat its edge. */
export function tileComponents(picture: PixelBuffer, left: number, top: number): [number[], number[], number[]] {
  const planes: [number[], number[], number[]] = [[], [], []];
  for (let y = 0; y < 64; y += 1) {
    for (let x = 0; x < 64; x += 1) {
      const px = Math.min(left + x, picture.width - 1);
      const py = Math.min(top + y, picture.height - 1);
      const i = (py * picture.width + px) * 4;
      const [r, g, b] = [picture.data[i]!, picture.data[i + 1]!, picture.data[i + 2]!];
      planes[0].push(Math.round((0.299 * r + 0.587 * g + 0.114 * b - 128) * 32));
      planes[1].push(Math.round((-0.168935 * r - 0.331665 * g + 0.50059 * b) * 32));
      planes[2].push(Math.round((0.499813 * r - 0.418531 * g - 0.081282 * b) * 32));
    }
  }
  return planes;
}

/** One row or column: low and high halves. With `extrapolate` a 65th sample is made up and its zero high value dropped. */
function split(samples: readonly number[], extrapolate: boolean): { low: number[]; high: number[] } {
  const x = [...samples];
  if (extrapolate) x.push(2 * x.at(-1)! - x.at(-2)!);
  const at = (i: number) => x[i < x.length ? i : 2 * (x.length - 1) - i]!;
  const highs = Math.floor(x.length / 2);
  const lows = x.length - highs;
  const high: number[] = [];
  for (let n = 0; n < highs; n += 1) high.push((at(2 * n + 1) - ((at(2 * n) + at(2 * n + 2)) >> 1)) >> 1);
  const low: number[] = [];
  for (let n = 0; n < lows; n += 1) {
    const before = high[Math.max(n - 1, 0)]!;
    const after = high[Math.min(n, highs - 1)]!;
    low.push(at(2 * n) + ((before + after) >> 1));
  }
  if (extrapolate) high.pop();
  return { low, high };
}

type Grid = number[][];

function splitGrid(grid: Grid, extrapolate: boolean): { hl: Grid; lh: Grid; hh: Grid; ll: Grid } {
  const columns = grid[0]!.map((_, x) =>
    split(
      grid.map((row) => row[x]!),
      extrapolate,
    ),
  );
  const rowsOf = (part: 'low' | 'high') => columns[0]![part].map((_, y) => columns.map((column) => column[part][y]!));
  const lows = rowsOf('low').map((row) => split(row, extrapolate));
  const highs = rowsOf('high').map((row) => split(row, extrapolate));
  return {
    hl: lows.map((row) => row.high),
    lh: highs.map((row) => row.low),
    hh: highs.map((row) => row.high),
    ll: lows.map((row) => row.low),
  };
}

/** The ten bands of a component in the order HL1 LH1 HH1 HL2 … LL3, each row by row. */
export function forwardBands(component: readonly number[], reduceExtrapolate: boolean): number[][] {
  let grid: Grid = Array.from({ length: 64 }, (_, y) => component.slice(y * 64, y * 64 + 64));
  const bands: number[][] = [];
  for (let level = 1; level <= 3; level += 1) {
    const { hl, lh, hh, ll } = splitGrid(grid, reduceExtrapolate && level === 1);
    bands.push(hl.flat(), lh.flat(), hh.flat());
    grid = ll;
  }
  bands.push(grid.flat());
  return bands;
}

/** Quantization values in the same order: q stands for a factor of 2^(q − 6), and 5 fractional bits go with it. */
export function quantizeBands(bands: readonly number[][], quants: readonly number[]): number[][] {
  return bands.map((band, i) => {
    const shift = quants[i]! - 1;
    return band.map((value) => Math.sign(value) * Math.round(Math.abs(value) / 2 ** shift));
  });
}

/** LL3 as differences; the other bands as they are; all one after another. */
export function coefficients(bands: readonly number[][]): number[] {
  const ll3 = bands[9]!;
  return [...bands.slice(0, 9).flat(), ...ll3.map((value, i) => (i === 0 ? value : value - ll3[i - 1]!))];
}
