/** Passwords as they are kept: scrypt (RFC 7914), a few at a time, so that guessing takes neither all memory nor all cores. */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { LucidError, passwordCharacters } from '@lucid-sessions/contract';

export interface PasswordHash {
  n: number;
  r: number;
  p: number;
  /** base64 */
  salt: string;
  hash: string;
}

/** 32 MiB and three passes, as OWASP has it: 128 MiB in one would hold a small gateway up. */
const cost = { n: 2 ** 15, r: 8, p: 3 };
const hashBytes = 32;
const memoryBytesMax = 64 * 1024 * 1024;
const atOnceMax = 2;
const waitingMax = 50;

const derive = (password: string, salt: Buffer, { n, r, p }: Pick<PasswordHash, 'n' | 'r' | 'p'>): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    // Two ways to write one character must be one password.
    const text = password.normalize('NFKC');
    scrypt(text, salt, hashBytes, { N: n, r, p, maxmem: memoryBytesMax }, (error, hash) => {
      if (error === null) resolve(hash);
      else reject(error);
    });
  });

const differentCharactersMin = 5;

/** Throws LucidError that says what a new password lacks. */
export function checkNewPassword(password: string, userId: string): void {
  const refuse = (why: string): never => {
    throw new LucidError('invalidRequest', `the password ${why}`, { details: { password: why } });
  };
  const { min, max } = passwordCharacters;
  if (!(password.length >= min && password.length <= max)) refuse(`must have ${min} to ${max} characters`);
  if (new Set(password).size < differentCharactersMin) refuse('repeats too few characters');
  if (userId.length >= 4 && password.toLowerCase().includes(userId)) refuse('must not hold the user name');
}

export class Passwords {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  async #turn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= atOnceMax) {
      if (this.#waiting.length >= waitingMax)
        throw new LucidError('unavailable', 'too many people sign in at this moment; try again in a few seconds');
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running += 1;
    try {
      return await work();
    } finally {
      // Who waits takes this one's place.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  hash(password: string): Promise<PasswordHash> {
    const salt = randomBytes(16);
    return this.#turn(async () => ({
      ...cost,
      salt: salt.toString('base64'),
      hash: (await derive(password, salt, cost)).toString('base64'),
    }));
  }

  /** Takes as long where there is no hash: the time tells nobody who has an account. */
  verify(password: string, known: PasswordHash | null): Promise<boolean> {
    return this.#turn(async () => {
      const salt = known === null ? Buffer.alloc(16) : Buffer.from(known.salt, 'base64');
      const hash = await derive(password, salt, known ?? cost);
      return known !== null && timingSafeEqual(hash, Buffer.from(known.hash, 'base64'));
    });
  }
}
