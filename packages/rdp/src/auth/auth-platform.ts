/** What authentication asks of its platform; fixed values in tests. */
export interface AuthPlatform {
  /** Unpredictable bytes. */
  randomBytes: (length: number) => Uint8Array;
  /** Milliseconds since 1970. */
  nowMs: () => number;
}

const FILETIME_1970 = 116_444_736_000_000_000n;

/** FILETIME, [MS-DTYP] 2.3.3: 100 ns since 1601, 8 bytes. */
export function fileTime(nowMs: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, FILETIME_1970 + BigInt(Math.floor(nowMs)) * 10_000n, true);
  return bytes;
}
