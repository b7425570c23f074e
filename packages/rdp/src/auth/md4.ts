/** MD4, RFC 1320: broken as a hash, and what NTLM makes of a password all the same. OpenSSL 3 no longer offers it. */

const BLOCK_BYTES = 64;
/** Order in which the words of a block are taken, and by how much each step rotates; rounds 1 to 3. */
const rounds = [
  { order: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], shifts: [3, 7, 11, 19], constant: 0 },
  { order: [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15], shifts: [3, 5, 9, 13], constant: 0x5a827999 },
  { order: [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15], shifts: [3, 9, 11, 15], constant: 0x6ed9eba1 },
] as const;

const mixers = [
  (x: number, y: number, z: number): number => (x & y) | (~x & z),
  (x: number, y: number, z: number): number => (x & y) | (x & z) | (y & z),
  (x: number, y: number, z: number): number => x ^ y ^ z,
] as const;

const rotateLeft = (value: number, by: number): number => (value << by) | (value >>> (32 - by));

/** The message, 0x80, zeros, and its length in bits: whole blocks. */
function padded(message: Uint8Array): DataView {
  const blocks = Math.ceil((message.length + 9) / BLOCK_BYTES);
  const bytes = new Uint8Array(blocks * BLOCK_BYTES);
  bytes.set(message);
  bytes[message.length] = 0x80;
  const view = new DataView(bytes.buffer);
  view.setBigUint64(bytes.length - 8, BigInt(message.length) * 8n, true);
  return view;
}

function mixBlock(state: Uint32Array, view: DataView, offset: number): void {
  let [a = 0, b = 0, c = 0, d = 0] = state;
  rounds.forEach(({ order, shifts, constant }, round) => {
    const mix = mixers[round]!;
    order.forEach((word, step) => {
      const sum = a + mix(b, c, d) + view.getUint32(offset + word * 4, true) + constant;
      [a, b, c, d] = [d, rotateLeft(sum | 0, shifts[step % 4]!), b, c];
    });
  });
  [a, b, c, d].forEach((value, at) => {
    state[at] = state[at]! + value;
  });
}

/** 16 bytes. */
export function md4(message: Uint8Array): Uint8Array {
  const state = Uint32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476);
  const view = padded(message);
  for (let offset = 0; offset < view.byteLength; offset += BLOCK_BYTES) mixBlock(state, view, offset);
  const digest = new DataView(new ArrayBuffer(16));
  state.forEach((word, at) => {
    digest.setUint32(at * 4, word, true);
  });
  return new Uint8Array(digest.buffer);
}
