/** Cipher suites that captured connections can be opened with (IANA TLS Cipher Suites). */
export type Mac = 'sha1' | 'sha256' | 'sha384';

export interface CipherSuite {
  cipher: 'gcm' | 'chacha20' | 'cbc';
  keyBytes: 16 | 32;
  /** Of the PRF and of TLS 1.3's key schedule. */
  hash: 'sha256' | 'sha384';
  /** Of CBC suites. */
  mac?: Mac;
  /** The pre-master secret is under the server's RSA key. */
  rsa?: true;
}

const gcm = (keyBytes: 16 | 32, rsa?: true): CipherSuite => ({
  cipher: 'gcm',
  keyBytes,
  hash: keyBytes === 32 ? 'sha384' : 'sha256',
  ...(rsa ? { rsa } : {}),
});
const cbc = (keyBytes: 16 | 32, mac: Mac, rsa?: true): CipherSuite => ({
  cipher: 'cbc',
  keyBytes,
  mac,
  hash: mac === 'sha384' ? 'sha384' : 'sha256',
  ...(rsa ? { rsa } : {}),
});
const chacha20: CipherSuite = { cipher: 'chacha20', keyBytes: 32, hash: 'sha256' };

export const cipherSuites: ReadonlyMap<number, CipherSuite> = new Map([
  [0x1301, gcm(16)],
  [0x1302, gcm(32)],
  [0x1303, chacha20],
  [0x002f, cbc(16, 'sha1', true)],
  [0x0035, cbc(32, 'sha1', true)],
  [0x003c, cbc(16, 'sha256', true)],
  [0x003d, cbc(32, 'sha256', true)],
  [0x009c, gcm(16, true)],
  [0x009d, gcm(32, true)],
  [0x0033, cbc(16, 'sha1')],
  [0x0039, cbc(32, 'sha1')],
  [0x0067, cbc(16, 'sha256')],
  [0x006b, cbc(32, 'sha256')],
  [0x009e, gcm(16)],
  [0x009f, gcm(32)],
  [0xc009, cbc(16, 'sha1')],
  [0xc00a, cbc(32, 'sha1')],
  [0xc013, cbc(16, 'sha1')],
  [0xc014, cbc(32, 'sha1')],
  [0xc023, cbc(16, 'sha256')],
  [0xc024, cbc(32, 'sha384')],
  [0xc027, cbc(16, 'sha256')],
  [0xc028, cbc(32, 'sha384')],
  [0xc02b, gcm(16)],
  [0xc02c, gcm(32)],
  [0xc02f, gcm(16)],
  [0xc030, gcm(32)],
  [0xcca8, chacha20],
  [0xcca9, chacha20],
  [0xccaa, chacha20],
]);
