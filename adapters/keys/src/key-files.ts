import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  formatNoteKey,
  formatPublicKey,
  fromBase64,
  fromUtf8,
  keyIdOf,
  type NoteKey,
  type NoteSigner,
  noteAlgorithms,
  type PublicKey,
  parseNoteKey,
  parsePublicKey,
  type Signer,
  sha256,
  toBase64,
  toHex,
  utf8,
} from '@lucid-sessions/evidence';
import {
  createFileDurably,
  makeDirectoryDurably,
  nodeCrypto,
  readFileOrNull,
  syncDirectory,
  writeFileDurably,
} from '@lucid-sessions/node';

export type KeyErrorCode = 'too_open' | 'malformed' | 'missing' | 'in_use';

export class KeyError extends Error {
  override readonly name = 'KeyError';
  readonly code: KeyErrorCode;
  constructor(code: KeyErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** A key as the CLI lists it. Secrets have no field here. */
export interface KeyInfo {
  purpose: 'identity' | 'log' | 'local' | 'secrets' | 'accounts';
  /** Identity: SHA-256 of the public key's SPKI. Log: the vkey's hash. Local, secrets: fingerprint of the secret. */
  keyId: string;
  /** `ed25519:…`, a vkey, or null for secrets. */
  publicKey: string | null;
  createdAt: Date;
  /** `recorded` when it was made; else the time of its file, which a copy or a restore may have: it is no younger. */
  createdFrom: 'recorded' | 'file';
  /** Replaced by a newer one; kept to check (identity) or unwrap (local) what it made. */
  retired: boolean;
  /** When a retired identity was retired, µs since 1970: it signed nothing later. */
  retiredUs?: number;
}

export interface LocalKey {
  keyId: string;
  bytes: Uint8Array;
}

/** What the file of a symmetric key begins with, how its name is derived, and what it is called in messages. */
const LOCAL = {
  prefix: 'lucid-local-key-1:',
  domain: utf8('lucid-sessions/v1/local-key-id\0'),
  what: 'local wrapping key',
};
const SECRETS = {
  prefix: 'lucid-secrets-key-1:',
  domain: utf8('lucid-sessions/v1/secrets-key-id\0'),
  what: 'key of sealed secrets',
};
type SymmetricKind = typeof LOCAL;

const identityPublic = 'identity.pub';
const logPublic = 'log.pub';

/** A file that was to be given and is not there. */
export const missingKey = (path: string): KeyError =>
  new KeyError(
    'missing',
    `${path} is missing: "lucid-sessions keys init DIR" makes an installation's keys, once; mount this one there`,
  );

/** Refuses a secret anyone but its owner may read; the group of a mounted one may. */
async function checkMode(path: string, forbidden: number): Promise<void> {
  // Windows keeps rights in access lists that these bits do not show.
  if (process.platform === 'win32') return;
  const { mode } = await stat(path);
  if ((mode & forbidden) !== 0)
    throw new KeyError(
      'too_open',
      `${path} may be read or written by others; set its mode to ${forbidden === ownForbidden ? '600' : '440 (defaultMode of a Kubernetes secret)'}`,
    );
}

const ownForbidden = 0o077;
const givenForbidden = 0o027;

async function readSecret(path: string, forbidden: number): Promise<string | null> {
  const bytes = await readFileOrNull(path);
  if (bytes === null) return null;
  await checkMode(path, forbidden);
  return fromUtf8(bytes, 'key file');
}

function parseEd25519(pem: string, path: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw new KeyError('malformed', `${path} is not a private key in PEM`);
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new KeyError('malformed', `${path} is not an Ed25519 key`);
  return key;
}

function rawPublicKey(key: KeyObject): Uint8Array {
  return new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' })).slice(-32);
}

const ed25519Id = (bytes: Uint8Array): string => keyIdOf({ algorithm: 'ed25519', bytes });

/** `identity.pem` and `identity.pub` have one. */
const createdOf = (name: string): string => `${name.replace(/\.(?:pem|pub|key)$/, '')}.created`;

/** Named without being told. */
function parseSymmetric({ prefix, domain, what }: SymmetricKind, text: string, path: string): LocalKey {
  if (!text.startsWith(prefix)) throw new KeyError('malformed', `${path} is not a ${what}`);
  const bytes = fromBase64(text.slice(prefix.length).trim(), what);
  if (bytes.length !== 32) throw new KeyError('malformed', `${path} does not hold 32 bytes`);
  return { keyId: toHex(sha256(domain, bytes)).slice(0, 16), bytes };
}

export interface KeyDirectoryOptions {
  /** The keys were put there by somebody, as a mounted secret: nothing is made, and the files' group may read them. */
  given?: boolean;
}

/**
 * The installation's keys, each in a file of mode 600 in a directory of mode 700: `identity.pem` and `log.pem` (Ed25519,
 * PKCS #8), `local.key` (32 bytes that wrap DEKs), `secrets.key` (32 bytes that seal credentials), `accounts.key` (32 bytes that seal what accounts keep secret), `retired/` with public halves of old identities and old local keys
 * (beside the others where a mounted secret knows no folders). `identity.pub` and `log.pub` stand for who only checks.
 * A key is durable before it is used once. `NAME.created` beside it says when that was: `KEYID MICROSECONDS`, of this key alone.
 */
export class KeyDirectory {
  readonly #path: string;
  readonly #given: boolean;
  private constructor(path: string, given: boolean) {
    this.#path = path;
    this.#given = given;
  }

  static async open(path: string, { given = false }: KeyDirectoryOptions = {}): Promise<KeyDirectory> {
    if (!given) {
      await makeDirectoryDurably(path, 0o700);
      await checkMode(path, ownForbidden);
    }
    return new KeyDirectory(path, given);
  }

  #read(path: string): Promise<string | null> {
    return readSecret(path, this.#given ? givenForbidden : ownForbidden);
  }

  async #loadOrCreate<T>(
    name: string,
    create: () => string,
    parse: (text: string, path: string) => T,
    idOf: (key: T) => string,
  ): Promise<T> {
    const path = join(this.#path, name);
    const found = await this.#read(path);
    if (found !== null) return parse(found, path);
    if (this.#given) throw missingKey(path);
    const made = create();
    // Several services of one data directory may start at once: all use the key of whoever was first.
    if (await createFileDurably(path, utf8(made), 0o600)) {
      const key = parse(made, path);
      await writeFileDurably(join(this.#path, createdOf(name)), utf8(`${idOf(key)} ${Date.now() * 1000}\n`), 0o600);
      return key;
    }
    return parse((await this.#read(path)) ?? '', path);
  }

  async #ed25519(name: string): Promise<KeyObject> {
    const create = (): string =>
      generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;
    return this.#loadOrCreate(name, create, parseEd25519, (key) => ed25519Id(rawPublicKey(key)));
  }

  /** Signs records. Made at first use. */
  async identity(): Promise<Signer> {
    const key = await this.#ed25519('identity.pem');
    return {
      publicKey: { algorithm: 'ed25519', bytes: rawPublicKey(key) },
      sign: (message) => new Uint8Array(sign(null, message, key)),
    };
  }

  /** Signs the log's checkpoints under `origin`, the log's name. Made at first use; a log keeps its key for life. */
  async logSigner(origin: string): Promise<NoteSigner> {
    const key = await this.#ed25519('log.pem');
    return {
      key: { name: origin, algorithm: noteAlgorithms.ed25519, publicKey: rawPublicKey(key) },
      sign: (message) => new Uint8Array(sign(null, message, key)),
    };
  }

  #symmetric(name: string, kind: SymmetricKind): Promise<LocalKey> {
    const create = (): string => `${kind.prefix}${toBase64(nodeCrypto.randomBytes(32))}\n`;
    const parse = (text: string, path: string): LocalKey => parseSymmetric(kind, text, path);
    return this.#loadOrCreate(name, create, parse, ({ keyId }) => keyId);
  }

  /** Wraps DEKs where no outside recipient is configured. Made at first use. */
  async localKey(): Promise<LocalKey> {
    return this.#symmetric('local.key', LOCAL);
  }

  /** Seals credentials while they are good (`LocalSeal`). Made at first use. */
  async secretsKey(): Promise<LocalKey> {
    return this.#symmetric('secrets.key', SECRETS);
  }

  /** Seals what accounts keep secret, in the API alone. Made at first use; null where keys were given without it. */
  async accountsKey(): Promise<LocalKey | null> {
    if (this.#given && (await this.#info('accounts.key')) === null) return null;
    return this.#symmetric('accounts.key', SECRETS);
  }

  /** Names of files below the directory. */
  async #retired(): Promise<string[]> {
    const namesIn = async (folder: string): Promise<string[]> => {
      const names = await readdir(join(this.#path, folder)).catch(() => []);
      return names.filter((name) => /^(?:identity-[0-9a-f]+\.pub|local-[0-9a-f]+\.key)$/.test(name)).sort();
    };
    const inFolder = (await namesIn('retired')).map((name) => join('retired', name));
    return this.#given ? [...inFolder, ...(await namesIn('.'))] : inFolder;
  }

  /** Whether keys can be wrapped here at all: made when it is needed, or given. */
  async hasLocalKey(): Promise<boolean> {
    return !this.#given || (await this.#info('local.key')) !== null;
  }

  /** The present local key first, then retired ones: what may have wrapped a DEK. */
  async localKeys(): Promise<LocalKey[]> {
    const keys = (await this.hasLocalKey()) ? [await this.localKey()] : [];
    for (const name of (await this.#retired()).filter((file) => file.endsWith('.key'))) {
      const path = join(this.#path, name);
      keys.push(parseSymmetric(LOCAL, (await this.#read(path)) ?? '', path));
    }
    return keys;
  }

  async #retire(name: string, text: string): Promise<void> {
    const directory = join(this.#path, 'retired');
    await makeDirectoryDurably(directory, 0o700);
    await writeFileDurably(join(directory, name), utf8(text), 0o600);
  }

  /** A new identity. The old one's public half stays with the time it was retired; its private half is gone. */
  async rotateIdentity(retiredUs?: number): Promise<{ before: PublicKey; after: PublicKey }> {
    const before = (await this.identity()).publicKey;
    const until = retiredUs === undefined ? '' : `retired ${retiredUs}\n`;
    const madeUs = await this.#createdUs('identity.pem', keyIdOf(before));
    const made = madeUs === null ? '' : `created ${madeUs}\n`;
    await this.#retire(`identity-${keyIdOf(before)}.pub`, `${formatPublicKey(before)}\n${until}${made}`);
    await this.#remove('identity.pem');
    const after = (await this.identity()).publicKey;
    if ((await this.#info(identityPublic)) !== null) await this.#writePublic(identityPublic, formatPublicKey(after));
    return { before, after };
  }

  /** A new local key. The old one stays until every wrap under it was made again (`dropLocalKey`). */
  async rotateLocalKey(): Promise<{ before: string; after: string }> {
    const before = await this.localKey();
    const madeUs = await this.#createdUs('local.key', before.keyId);
    await this.#retire(`local-${before.keyId}.key`, `${LOCAL.prefix}${toBase64(before.bytes)}\n`);
    if (madeUs !== null) await this.#retire(`local-${before.keyId}.created`, `${before.keyId} ${madeUs}\n`);
    await this.#remove('local.key');
    return { before: before.keyId, after: (await this.localKey()).keyId };
  }

  /** Destroys a retired local key: wraps under it can't be opened any more. */
  async dropLocalKey(keyId: string): Promise<void> {
    const name = join('retired', `local-${keyId}.key`);
    if (!(await this.#retired()).includes(name))
      throw new KeyError('missing', `no retired local key is called ${keyId}`);
    await this.#remove(name);
    await rm(join(this.#path, createdOf(name)), { force: true });
  }

  /** Overwrites in place before it unlinks; on copy-on-write and flash storage only the unlinking is sure. */
  async #remove(name: string): Promise<void> {
    const path = join(this.#path, name);
    const handle = await open(path, 'r+');
    try {
      await handle.write(new Uint8Array((await handle.stat()).size), 0);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rm(path);
    await syncDirectory(this.#path);
  }

  async #info(name: string): Promise<Date | null> {
    try {
      return (await stat(join(this.#path, name))).mtime;
    } catch {
      return null;
    }
  }

  /** When the key of this id was made, µs since 1970; null: nobody wrote it down. */
  async #createdUs(name: string, keyId: string): Promise<number | null> {
    const text = fromUtf8((await readFileOrNull(join(this.#path, createdOf(name)))) ?? new Uint8Array(0));
    const [, id, us] = /^([0-9a-f]{16,64}) (\d{1,16})\n$/.exec(text) ?? [];
    return id === keyId ? Number(us) : null;
  }

  async #firstOf(...names: string[]): Promise<{ name: string; createdAt: Date } | null> {
    for (const name of names) {
      const createdAt = await this.#info(name);
      if (createdAt !== null) return { name, createdAt };
    }
    return null;
  }

  async #publicText(name: string): Promise<string> {
    return fromUtf8((await readFileOrNull(join(this.#path, name))) ?? new Uint8Array(0), 'key file').trim();
  }

  #writePublic(name: string, text: string): Promise<void> {
    return writeFileDurably(join(this.#path, name), utf8(`${text}\n`), 0o600);
  }

  async #identityKey(name: string): Promise<PublicKey> {
    return name === identityPublic ? parsePublicKey(await this.#publicText(name)) : (await this.identity()).publicKey;
  }

  async #logKey(name: string, origin: string): Promise<NoteKey> {
    if (name !== logPublic) return (await this.logSigner(origin)).key;
    return { ...parseNoteKey(await this.#publicText(name)), name: origin };
  }

  /** Makes every key that is missing, and files with the public ones for services that only check. */
  async makeAll(origin: string): Promise<void> {
    await this.localKey();
    await this.secretsKey();
    await this.accountsKey();
    await this.#writePublic(identityPublic, formatPublicKey((await this.identity()).publicKey));
    await this.#writePublic(logPublic, formatNoteKey((await this.logSigner(origin)).key));
  }

  /** Every key there is, without making any. */
  async list(origin: string): Promise<KeyInfo[]> {
    const list: KeyInfo[] = [];
    const add = (info: Omit<KeyInfo, Made>, file: Date, madeUs: number | null): number =>
      list.push({
        ...info,
        createdAt: madeUs === null ? file : new Date(madeUs / 1000),
        createdFrom: madeUs === null ? 'file' : 'recorded',
      });
    const identity = await this.#firstOf('identity.pem', identityPublic);
    if (identity !== null) {
      const key = await this.#identityKey(identity.name);
      const madeUs = await this.#createdUs(identity.name, keyIdOf(key));
      add(identityInfo(key, false), identity.createdAt, madeUs);
    }
    const log = await this.#firstOf('log.pem', logPublic);
    if (log !== null) {
      const key = await this.#logKey(log.name, origin);
      const publicKey = formatNoteKey(key);
      const madeUs = await this.#createdUs(log.name, ed25519Id(key.publicKey));
      add({ purpose: 'log', keyId: publicKey.split('+')[1] ?? '', publicKey, retired: false }, log.createdAt, madeUs);
    }
    for (const [purpose, name] of [
      ['local', 'local.key'],
      ['secrets', 'secrets.key'],
      ['accounts', 'accounts.key'],
    ] as const) {
      const file = await this.#info(name);
      if (file === null) continue;
      const { keyId } = await this.#symmetric(name, purpose === 'local' ? LOCAL : SECRETS);
      add({ purpose, keyId, publicKey: null, retired: false }, file, await this.#createdUs(name, keyId));
    }
    for (const name of await this.#retired()) {
      const file = (await this.#info(name)) ?? new Date(0);
      const [, purpose, keyId = ''] = /\b(identity|local)-([0-9a-f]+)\./.exec(name) ?? [];
      if (purpose === 'local')
        add({ purpose: 'local', keyId, publicKey: null, retired: true }, file, await this.#createdUs(name, keyId));
      else if (purpose === 'identity') {
        const text = fromUtf8((await readFileOrNull(join(this.#path, name))) ?? new Uint8Array(0));
        const [publicKey = ''] = text.split('\n');
        const [, us] = /^retired (\d{1,16})$/m.exec(text) ?? [];
        const [, madeUs] = /^created (\d{1,16})$/m.exec(text) ?? [];
        const retiredUs = us === undefined ? {} : { retiredUs: Number(us) };
        const made = madeUs === undefined ? null : Number(madeUs);
        add({ purpose: 'identity', keyId, publicKey, retired: true, ...retiredUs }, file, made);
      }
    }
    return list;
  }

  /** What a verifier needs to be told, in the form of its policy file. Retired keys count for what they signed in their time. */
  async exportPublic(
    origin: string,
  ): Promise<{ v: 1; identity_keys: { key: string; valid_to_us?: number }[]; log_keys: string[] }> {
    const keys = await this.list(origin);
    const identityKeys = keys.flatMap(({ purpose, publicKey, retiredUs }) =>
      purpose === 'identity' && publicKey !== null
        ? [{ key: publicKey, ...(retiredUs === undefined ? {} : { valid_to_us: retiredUs }) }]
        : [],
    );
    const logKeys = keys.flatMap(({ purpose, publicKey }) =>
      purpose === 'log' && publicKey !== null ? [publicKey] : [],
    );
    return { v: 1, identity_keys: identityKeys, log_keys: logKeys };
  }
}

type Made = 'createdAt' | 'createdFrom';

function identityInfo(key: PublicKey, retired: boolean): Omit<KeyInfo, Made> {
  return { purpose: 'identity', keyId: keyIdOf(key), publicKey: formatPublicKey(key), retired };
}
