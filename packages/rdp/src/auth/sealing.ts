/** What two peers say to each other once they share a key. Opening and verifying throw `DecodeError`. */
export interface Sealing {
  seal(plain: Uint8Array): Uint8Array;
  open(wrapped: Uint8Array): Uint8Array;
  /** The mechListMIC we send, RFC 4178 section 5. */
  mic(mechTypes: Uint8Array): Uint8Array;
  verifyMic(mechTypes: Uint8Array, signature: Uint8Array): void;
}
