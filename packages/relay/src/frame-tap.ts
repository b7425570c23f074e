/**
 * Where a relay puts the PDUs it passes on. The bytes are views that are gone after the call: the tap copies them once,
 * to where they are recorded. Flags are `frameFlags` of the recording package (ARCHITECTURE.md, Frame).
 */
export interface FrameTap {
  /** A whole PDU. `kind` is 0. */
  frame(kind: number, flags: number, channelId: number, bytes: Uint8Array, timeUs: number): void;
  /** The start of a PDU of `length` bytes that `fill` completes; at most one at a time in each direction. */
  begin(flags: number, channelId: number, length: number, timeUs: number): void;
  /** More bytes of the PDU begun in this direction: 0 from the client, 1 from the server. */
  fill(direction: 0 | 1, bytes: Uint8Array): void;
}
