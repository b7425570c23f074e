/** Passkeys by the browser's own WebAuthn, which reads and writes the server's JSON. */
type Json = Record<string, unknown>;

interface WebAuthnWithJson {
  parseCreationOptionsFromJSON(options: Json): PublicKeyCredentialCreationOptions;
  parseRequestOptionsFromJSON(options: Json): PublicKeyCredentialRequestOptions;
}

const webAuthn = (): WebAuthnWithJson | null =>
  typeof PublicKeyCredential === 'function' && 'parseRequestOptionsFromJSON' in PublicKeyCredential
    ? (PublicKeyCredential as unknown as WebAuthnWithJson)
    : null;

export const hasPasskeys = (): boolean => webAuthn() !== null;

/** Also where somebody only closes the browser's question: it says no more. */
const refused = 'the browser made no passkey known to this place: try again, or another way';

async function answered(work: Promise<Credential | null>): Promise<Json> {
  const credential = await work.catch((cause: unknown) => {
    throw new Error(refused, { cause });
  });
  if (credential === null) throw new Error(refused);
  return (credential as PublicKeyCredential).toJSON() as unknown as Json;
}

export const askPasskey = (options: Json): Promise<Json> =>
  answered(navigator.credentials.get({ publicKey: webAuthn()!.parseRequestOptionsFromJSON(options) }));

export const makePasskey = (options: Json): Promise<Json> =>
  answered(navigator.credentials.create({ publicKey: webAuthn()!.parseCreationOptionsFromJSON(options) }));
