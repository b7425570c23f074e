import type { KeyWrap } from '@lucid-sessions/contract';
import { DEK_BYTES, utf8 } from '@lucid-sessions/evidence';
import { type KeyUnwrapper, type KeyWrapper, WrapError, wrapAad } from './key-wrappers.ts';
import { isVaultToken, type VaultAnswer, VaultAway, VaultHttp, type VaultServer } from './vault-http.ts';

export const VAULT_TRANSIT_SCHEME = 'vault-transit';

export interface VaultTransitOptions extends VaultServer {
  /** Path the transit engine is mounted at. */
  mount: string;
  /** Name of an AEAD key there (`aes256-gcm96`, Vault's default, or `chacha20-poly1305`). */
  key: string;
  /** Asked at every try: somebody else renews the token while this runs. */
  readToken(): string;
}

const CIPHERTEXT_CHARACTERS_MAX = 4096;
/** What AES-256-GCM and ChaCha20-Poly1305 add in Vault: nonce 12, tag 16. A shorter one can't hold a sealed DEK. */
const SEALED_BYTES_MIN = 12 + DEK_BYTES + 16;

/** What Vault answers 400 for on decrypt that says nothing about the ciphertext. */
const notDamage = [
  ['encryption key not found', 'has no such key'],
  ['too old', 'no longer opens this version of the key (min_decryption_version)'],
] as const;

/**
 * The transit engine of HashiCorp Vault and OpenBao: DEKs are wrapped by a key that never leaves it. Nothing that Vault
 * says is quoted in an error: an answer may hold what was sent.
 */
export class VaultTransit implements KeyWrapper, KeyUnwrapper {
  readonly scheme = VAULT_TRANSIT_SCHEME;
  readonly recipient: string;
  readonly #options: Pick<VaultTransitOptions, 'mount' | 'key' | 'readToken'>;
  readonly #http: VaultHttp;

  constructor(options: VaultTransitOptions) {
    this.#options = options;
    this.#http = new VaultHttp(options);
    this.recipient = `${options.mount}/${options.key}`;
  }

  async wrap(dek: Uint8Array, keyId: string): Promise<KeyWrap> {
    const plaintext = Buffer.from(dek).toString('base64');
    const answer = await this.#post('encrypt', { plaintext, associated_data: associatedData(keyId) });
    if (answer.status !== 200) throw this.#refused(answer.status);
    const ciphertext = this.#field(answer, 'ciphertext');
    if (!isCiphertext(ciphertext)) throw this.#unavailable('answered something that is no ciphertext');
    return { scheme: this.scheme, recipient: this.recipient, keyId, wrapped: utf8(ciphertext) };
  }

  async unwrap(wrap: KeyWrap): Promise<Uint8Array | null> {
    if (wrap.scheme !== this.scheme || wrap.recipient !== this.recipient) return null;
    const ciphertext = Buffer.from(wrap.wrapped).toString('latin1');
    if (!isCiphertext(ciphertext)) throw damaged(wrap);
    const answer = await this.#post('decrypt', { ciphertext, associated_data: associatedData(wrap.keyId) });
    if (answer.status === 400) {
      const other = notDamage.find(([said]) => answer.text.includes(said));
      throw other === undefined ? damaged(wrap) : this.#unavailable(other[1]);
    }
    if (answer.status !== 200) throw this.#refused(answer.status);
    const dek = new Uint8Array(Buffer.from(this.#field(answer, 'plaintext'), 'base64'));
    if (dek.length !== DEK_BYTES) throw damaged(wrap);
    return dek;
  }

  #unavailable(what: string): WrapError {
    return new WrapError('unavailable', `Vault ${what}; asked for transit key ${this.recipient}`);
  }

  #refused(status: number): WrapError {
    if (status === 403) return this.#unavailable('refused the token, or what its policy allows (403)');
    if (status === 404) return this.#unavailable('has no such engine or key (404)');
    return this.#unavailable(`answered ${status}`);
  }

  #field({ text }: VaultAnswer, name: 'ciphertext' | 'plaintext'): string {
    try {
      const value = (JSON.parse(text) as { data?: Record<string, unknown> }).data?.[name];
      if (typeof value === 'string') return value;
    } catch {
      // The parser's message quotes the text.
    }
    throw this.#unavailable(`answered without ${name}`);
  }

  async #post(verb: 'encrypt' | 'decrypt', fields: Record<string, string>): Promise<VaultAnswer> {
    const { mount, key } = this.#options;
    const call = { method: 'POST', path: `${mount}/${verb}/${key}`, token: this.#token(), fields } as const;
    const answer = await this.#http.ask(call).catch((error: unknown) => {
      throw error instanceof VaultAway ? this.#unavailable(error.message) : error;
    });
    if (answer.status === 429 || answer.status >= 500) throw this.#refused(answer.status);
    return answer;
  }

  #token(): string {
    let token: string;
    try {
      token = this.#options.readToken();
    } catch (error) {
      const why = error instanceof Error ? error.message : 'it could not be read';
      throw new WrapError('unavailable', `there is no token for Vault: ${why}`);
    }
    if (!isVaultToken(token))
      throw new WrapError(
        'unavailable',
        'the file with the token for Vault must hold one line of printable characters',
      );
    return token;
  }
}

const associatedData = (keyId: string): string => Buffer.from(wrapAad(keyId)).toString('base64');

const damaged = ({ keyId }: KeyWrap): WrapError =>
  new WrapError('damaged', `the vault-transit wrap of key ${keyId} does not open`);

function isCiphertext(text: string): boolean {
  if (!(text.length <= CIPHERTEXT_CHARACTERS_MAX)) return false;
  const sealed = /^vault:v[1-9]\d{0,8}:([A-Za-z0-9+/]+={0,2})$/.exec(text)?.[1];
  return sealed !== undefined && Buffer.from(sealed, 'base64').length >= SEALED_BYTES_MIN;
}
