/** Codes of an authenticator app (RFC 6238), and recovery codes for when it is lost. */
import { randomInt } from 'node:crypto';
import { recoveryCodesCount } from '@lucid-sessions/contract';
import { Secret, TOTP } from 'otpauth';
import { type Account, sha256Hex } from './accounts.ts';

/** Seals small secrets under a key of the installation's own. */
export interface AccountSeal {
  seal(name: string, secret: Uint8Array): Promise<Uint8Array>;
  open(name: string, sealed: Uint8Array): Promise<Uint8Array | null>;
}

const issuer = 'Lucid Sessions';
const secretBytes = 20;
const periodS = 30;
/** Clocks of a telephone and of this machine may be a step apart. */
const stepsApart = 1;

const nameOf = (userId: string) => `totp\0${userId}`;
const totpOf = (userId: string, secret: Secret) =>
  new TOTP({ issuer, label: userId, algorithm: 'SHA1', digits: 6, period: periodS, secret });

/** A new secret, sealed for keeping, and as the app takes it. */
export async function newTotp(
  seal: AccountSeal,
  userId: string,
  randomBytes: (length: number) => Uint8Array,
): Promise<{ totp: NonNullable<Account['totp']>; secret: string; uri: string }> {
  const bytes = Uint8Array.from(randomBytes(secretBytes));
  const secret = new Secret({ buffer: bytes.buffer });
  const sealed = Buffer.from(await seal.seal(nameOf(userId), bytes)).toString('base64');
  return {
    totp: { sealed, confirmed: false, step: 0 },
    secret: secret.base32,
    uri: totpOf(userId, secret).toString(),
  };
}

/** The step a code is of; null: it is none that is good now, or one that was taken before. */
export async function stepOf(
  seal: AccountSeal,
  userId: string,
  { sealed, step: lastStep }: NonNullable<Account['totp']>,
  code: string,
  nowMs: number,
): Promise<number | null> {
  if (!/^\d{6}$/.test(code)) return null;
  const bytes = await seal.open(nameOf(userId), Buffer.from(sealed, 'base64'));
  if (bytes === null) return null;
  const secret = new Secret({ buffer: Uint8Array.from(bytes).buffer });
  const delta = totpOf(userId, secret).validate({ token: code, timestamp: nowMs, window: stepsApart });
  if (delta === null) return null;
  const step = Math.floor(nowMs / 1000 / periodS) + delta;
  return step > lastStep ? step : null;
}

/** Without what looks alike. 32 letters: 16 of them are 80 bits, so that their plain hash can be kept. */
const letters = '123456789abcdefghjkmnpqrstuvwxyz';
const lettersCount = 16;

export function newRecoveryCodes(): { codes: string[]; hashes: string[] } {
  const codes = Array.from({ length: recoveryCodesCount }, () => {
    const text = Array.from({ length: lettersCount }, () => letters[randomInt(letters.length)]).join('');
    return text.match(/.{4}/g)!.join('-');
  });
  return { codes, hashes: codes.map(recoveryHash) };
}

export const recoveryHash = (code: string): string => sha256Hex(code.toLowerCase().replaceAll(/[^0-9a-z]/g, ''));
