/**
 * The heart of the gateway, without I/O: bytes of a peer in; bytes for the other peer, frames for the recording and events
 * out. Begins after X.224 and TLS. Original bytes are passed on as they came, PDUs are cut only to be recorded; the few
 * that must be seen whole are held back, the fewer that must change are encoded anew.
 */
import {
  type ChannelClass,
  connectFrameLength,
  type FastPathInputEvent,
  frameLength,
  MCS_GLOBAL_CHANNEL_ID,
} from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { DecodeError } from '@lucid-sessions/wire';
import type { Canvas } from './canvas.ts';
import { type ChannelIds, CLASSIFY_BYTES_MAX, type Classification, classify } from './classify.ts';
import { ContentTap } from './content-tap.ts';
import { Conversation, type InputWatch, type RelayPolicy, type SecretCounters } from './conversation.ts';
import { type RelayEvent, type RelaySide, RelayViolation } from './events.ts';
import type { FrameTap } from './frame-tap.ts';
import type { OverlayPicture } from './pipeline/overlay.ts';
import type { Area } from './pipeline/pipeline-view.ts';

export interface RelayStep {
  /** For the other peer, in order; views of the input where nothing changed. */
  forward: Uint8Array[];
  /** For the server, from the gateway itself: in order behind what was passed on to it until now. */
  toServer: readonly Uint8Array[];
  /** For the client, the same: between two PDUs of the server. */
  toClient: readonly Uint8Array[];
  events: RelayEvent[];
}

export interface RelayCounters extends SecretCounters {
  /** Bytes received from both peers. */
  bytes: number;
  /** PDUs recorded or being recorded. */
  pdus: number;
  /** Server → client graphics updates: drawing updates, and messages of dynamic channels. */
  updates: number;
  /** Client PDUs that hold what a person did: keys, mouse. Whatever else a client sends by itself is not counted. */
  inputs: number;
  /** Client PDUs that ask the server to end the session ([MS-RDPBCGR] 2.2.2.2). */
  shutdownRequests: number;
}

const MODE_HEADER = 0;
const MODE_STREAM = 1;
const MODE_HOLD = 2;

/** One direction's position in its PDU. */
class Direction {
  readonly side: RelaySide;
  readonly index: 0 | 1;
  mode: typeof MODE_HEADER | typeof MODE_STREAM | typeof MODE_HOLD = MODE_HEADER;
  /** MODE_STREAM: bytes of the PDU still to come. */
  remaining = 0;
  /** MODE_HOLD and incomplete headers: what has come of the PDU. */
  held: Uint8Array = new Uint8Array(0);
  heldBytes = 0;
  /** MODE_HOLD: size of the PDU. */
  heldLength = 0;
  /** What is held counts as a graphics update. */
  heldUpdate = false;
  /** MODE_STREAM: a copy for what must follow the server's compression, and how much of it is there. */
  copy: Uint8Array | null = null;
  copied = 0;

  constructor(side: RelaySide) {
    this.side = side;
    this.index = side === 'client' ? 0 : 1;
  }
}

export class Relay {
  readonly #tap: ContentTap;
  readonly #conversation: Conversation;
  readonly #client = new Direction('client');
  readonly #server = new Direction('server');
  readonly #class: Classification = { hold: false, channelId: 0, fastPath: false, update: false };
  readonly counters: RelayCounters = {
    bytes: 0,
    pdus: 0,
    updates: 0,
    inputs: 0,
    shutdownRequests: 0,
    secretsBlanked: 0,
    unread: 0,
  };
  #endCode: number | null = null;
  #ended = false;

  constructor(policy: RelayPolicy, tap: FrameTap) {
    const ids: ChannelIds = {
      ioChannelId: MCS_GLOBAL_CHANNEL_ID,
      messageChannelId: 0,
      dynamicChannelId: 0,
      creates: 'pass',
      pipeline: 'pass',
      inputs: 'pass',
      bitmaps: policy.recutBitmaps === true ? 'seen' : 'pass',
      open: null,
      channels: new Map(),
    };
    this.#tap = new ContentTap(tap, ids, policy.keep ?? { input: 'full', clipboard: 'full' }, (what) => {
      this.counters[what] += 1;
    });
    this.#conversation = new Conversation(policy, this.#tap, this.counters, ids);
  }

  /** What each channel that was named is for. Bounded. */
  get channels(): ReadonlyMap<string, ChannelClass> {
    return this.#tap.watch.classes;
  }

  /** What the policy of channels refused, and how often. Bounded. */
  get refusals(): ReadonlyMap<string, number> {
    return this.#conversation.refusals;
  }

  /** PDUs of the client on channels nobody knows the use of, by name: kept like what people type. Bounded. */
  get unknownChannels(): ReadonlyMap<string, number> {
    return this.#tap.watch.unknown;
  }

  /**
   * Takes bytes a peer sent. `timeUs` is since the session's start and never goes back. Throws `RelayViolation`; what was
   * recorded until then stays recorded.
   */
  step(from: RelaySide, bytes: Uint8Array, timeUs: number): RelayStep {
    const step: RelayStep = { forward: [], toServer: [], toClient: [], events: [] };
    // The client is being told goodbye: what the server still says reaches nobody.
    if (this.#ended && from === 'server') return step;
    this.counters.bytes += bytes.length;
    try {
      this.#run(from === 'client' ? this.#client : this.#server, bytes, timeUs, step);
      if (from === 'server' && this.#client.mode !== MODE_STREAM)
        step.toServer = this.#conversation.takeAnswers('server', timeUs);
      if (from === 'client' && this.#server.mode !== MODE_STREAM && !this.#ended)
        step.toClient = this.#conversation.takeAnswers('client', timeUs);
    } catch (error) {
      if (error instanceof DecodeError) throw new RelayViolation(error.code, from, error.message);
      throw error;
    }
    return step;
  }

  /**
   * Ends the session for the client: Set Error Info where the client can take it, then a Disconnect Provider Ultimatum.
   * The bytes when that can be sent now; otherwise they come with the `ended` event at the end of the PDU that is being
   * forwarded. Null when the connection has not come far enough to be told anything.
   */
  end(errorInfo: number, timeUs: number): Uint8Array | null {
    if (!this.#conversation.canEnd || this.#ended) return null;
    if (this.#server.mode === MODE_STREAM) {
      this.#endCode = errorInfo;
      return null;
    }
    this.#ended = true;
    return this.#conversation.closingPdus(errorInfo, timeUs);
  }

  /** What the gateway may paint on; null where it may not (`paint` does nothing then). */
  get canvas(): Canvas | null {
    return this.#conversation.canvas;
  }

  /** Paints bodies of bitmap updates over the desktop. What can be sent to the client now; the rest comes with later steps. */
  paint(bodies: readonly Uint8Array[], timeUs: number): readonly Uint8Array[] {
    this.#conversation.paint(bodies);
    return this.#ended || this.isInsidePdu ? [] : this.#conversation.takeAnswers('client', timeUs);
  }

  /** Has the server draw again what was painted over: the same for what can be sent to it now. */
  refresh(timeUs: number): readonly Uint8Array[] {
    this.#conversation.refresh();
    return this.#client.mode === MODE_STREAM ? [] : this.#conversation.takeAnswers('server', timeUs);
  }

  /** Where on the output of the graphics pipeline a picture can be shown; null where none can. */
  get pipelineCanvas(): Area | null {
    return this.#conversation.pipelineCanvas;
  }

  /** Shows a picture over what the graphics pipeline draws, until another is or (null) none. What can be sent to the client now, as `paint`. */
  overlay(picture: OverlayPicture | null, timeUs: number): readonly Uint8Array[] {
    this.#conversation.overlay(picture);
    return this.#ended || this.isInsidePdu ? [] : this.#conversation.takeAnswers('client', timeUs);
  }

  /** From the next PDU on `watch` is asked about each input PDU of the client's; null: they pass as they come. */
  watchInput(watch: InputWatch | null): void {
    this.#conversation.watchInput(watch);
  }

  /**
   * Input of somebody who works in the client's place, recorded as delivered alone. What can be sent to the server now; the rest comes
   * with later steps. Nothing where there is no desktop.
   */
  input(events: readonly FastPathInputEvent[], timeUs: number): readonly Uint8Array[] {
    this.#conversation.input(events);
    return this.#client.mode === MODE_STREAM ? [] : this.#conversation.takeAnswers('server', timeUs);
  }

  /** True while a PDU to the client is half forwarded, so that `end` must wait for the rest of it. */
  get isInsidePdu(): boolean {
    return this.#server.mode === MODE_STREAM;
  }

  #run(direction: Direction, bytes: Uint8Array, timeUs: number, step: RelayStep): void {
    let at = 0;
    /** Start of the bytes that are passed on as they came. */
    let runStart = 0;
    while (at < bytes.length) {
      // Its server has sent the client on: what it still says is for nobody.
      if (direction.index === 1 && this.#conversation.isSentOn) break;
      if (direction.mode === MODE_STREAM) {
        at = this.#stream(direction, bytes, at);
        if (direction.mode === MODE_STREAM) continue;
        if (this.#mustEnd(direction)) {
          pushRun(step, bytes, runStart, at);
          this.#finish(timeUs, step);
          return;
        }
        // What waited for the end of this PDU.
        const answers = this.#conversation.takeAnswers(otherOf(direction.side), timeUs);
        if (answers.length > 0) {
          pushRun(step, bytes, runStart, at);
          step.forward.push(...answers);
          runStart = at;
        }
        continue;
      }
      if (direction.heldBytes > 0 || direction.mode === MODE_HOLD) {
        at = this.#resume(direction, bytes, at, timeUs, step);
        runStart = at;
        continue;
      }
      const taken = this.#begin(direction, bytes, at, timeUs);
      if (taken > 0) {
        at += taken;
        continue;
      }
      // Held, whole or in part: what came before it goes first.
      pushRun(step, bytes, runStart, at);
      at = this.#holdFrom(direction, bytes, at, timeUs, step);
      runStart = at;
    }
    pushRun(step, bytes, runStart, at);
  }

  /** Passes on the next bytes of a PDU that is being streamed; where it or the input ends. */
  #stream(direction: Direction, bytes: Uint8Array, at: number): number {
    const end = Math.min(bytes.length, at + direction.remaining);
    const view = bytes.subarray(at, end);
    this.#tap.fill(direction.index, view);
    if (direction.copy !== null) this.#copy(direction, view);
    direction.remaining -= end - at;
    if (direction.remaining === 0) direction.mode = MODE_HEADER;
    return end;
  }

  #measure(direction: Direction, bytes: Uint8Array, at: number, end: number): number {
    return this.#conversation.isConnecting(direction.side)
      ? connectFrameLength(bytes, at, end)
      : frameLength(bytes, at, end);
  }

  /**
   * Starts the PDU at `at` if it can be passed on as it comes: recorded whole or begun. The bytes taken; 0 when it must be
   * held back, because the relay has to see it whole or because too little of it is there to tell.
   */
  #begin(direction: Direction, bytes: Uint8Array, at: number, timeUs: number): number {
    const length = this.#measure(direction, bytes, at, bytes.length);
    if (length === 0 || this.#conversation.isHoldingAll(direction.side)) return 0;
    const available = bytes.length - at;
    if (available < length && available < CLASSIFY_BYTES_MAX) return 0;
    classify(bytes, at, bytes.length, length, direction.side, this.#conversation.channelIds, this.#class);
    direction.heldUpdate = this.#class.update;
    if (this.#class.hold) return 0;
    const flags = this.#countAndFlag(direction);
    const { channelId } = this.#class;
    if (available >= length) {
      const pdu = bytes.subarray(at, at + length);
      this.#tap.frame(0, flags, channelId, pdu, timeUs);
      if (this.#follows(direction)) this.#conversation.follow(pdu);
      return length;
    }
    this.#tap.begin(flags, channelId, length, timeUs, bytes.subarray(at));
    this.#tap.fill(direction.index, bytes.subarray(at));
    if (this.#follows(direction)) this.#beginCopy(direction, length, bytes.subarray(at));
    direction.mode = MODE_STREAM;
    direction.remaining = length - available;
    return available;
  }

  #follows(direction: Direction): boolean {
    return direction.side === 'server' && this.#conversation.isFollowing(this.#class.channelId);
  }

  #beginCopy(direction: Direction, length: number, bytes: Uint8Array): void {
    direction.copy = new Uint8Array(length);
    direction.copied = 0;
    this.#copy(direction, bytes);
  }

  #copy(direction: Direction, bytes: Uint8Array): void {
    const { copy } = direction;
    if (copy === null) return;
    copy.set(bytes, direction.copied);
    direction.copied += bytes.length;
    if (direction.copied < copy.length) return;
    direction.copy = null;
    this.#conversation.follow(copy);
  }

  #countAndFlag(direction: Direction): number {
    const { fastPath, update, channelId } = this.#class;
    if (direction.side === 'server' && (fastPath || channelId === this.#conversation.channelIds.ioChannelId))
      this.#conversation.serverSpoke();
    this.counters.pdus += 1;
    if (update) this.counters.updates += 1;
    return direction.index | (fastPath ? frameFlags.fastPath : 0);
  }

  /** Starts holding the PDU at `at`; a whole one is dealt with at once. Where it or the input ends. */
  #holdFrom(direction: Direction, bytes: Uint8Array, at: number, timeUs: number, step: RelayStep): number {
    const length = this.#measure(direction, bytes, at, bytes.length);
    if (length > 0 && at + length <= bytes.length) {
      this.#whole(direction, bytes.subarray(at, at + length), timeUs, step);
      return at + length;
    }
    direction.held = new Uint8Array(length > 0 ? length : CLASSIFY_BYTES_MAX);
    direction.heldBytes = 0;
    return this.#resume(direction, bytes, at, timeUs, step);
  }

  /** Adds bytes to what is held until it can be told what it is, then until it is whole. Where the input was left. */
  #resume(direction: Direction, bytes: Uint8Array, start: number, timeUs: number, step: RelayStep): number {
    let at = start;
    if (direction.mode !== MODE_HOLD) {
      at = this.#fillHeld(direction, bytes, at, CLASSIFY_BYTES_MAX);
      const { held, heldBytes } = direction;
      const length = this.#measure(direction, held, 0, heldBytes);
      if (length === 0) return at;
      if (length < heldBytes) {
        // More was taken than the PDU has: give it back.
        at -= heldBytes - length;
        direction.heldBytes = length;
      }
      if (this.#streamsHeld(direction, length, timeUs, step)) return at;
      if (direction.heldBytes < Math.min(length, CLASSIFY_BYTES_MAX)) return at;
      this.#growHeld(direction, length);
      direction.mode = MODE_HOLD;
      direction.heldLength = length;
    }
    at = this.#fillHeld(direction, bytes, at, direction.heldLength);
    if (direction.heldBytes < direction.heldLength) return at;
    const pdu = direction.held.subarray(0, direction.heldLength);
    this.#release(direction);
    this.#whole(direction, pdu, timeUs, step);
    return at;
  }

  #fillHeld(direction: Direction, bytes: Uint8Array, at: number, wanted: number): number {
    const end = Math.min(bytes.length, at + Math.max(0, wanted - direction.heldBytes));
    this.#growHeld(direction, direction.heldBytes + end - at);
    direction.held.set(bytes.subarray(at, end), direction.heldBytes);
    direction.heldBytes += end - at;
    return end;
  }

  #growHeld(direction: Direction, bytesNeeded: number): void {
    if (direction.held.length >= bytesNeeded) return;
    const held = new Uint8Array(bytesNeeded);
    held.set(direction.held.subarray(0, direction.heldBytes));
    direction.held = held;
  }

  #release(direction: Direction): void {
    direction.mode = MODE_HEADER;
    direction.held = new Uint8Array(0);
    direction.heldBytes = 0;
    direction.heldLength = 0;
  }

  /** Once enough of a held header is there: if the PDU needs no holding, passes on what was held and streams the rest. */
  #streamsHeld(direction: Direction, length: number, timeUs: number, step: RelayStep): boolean {
    const { held, heldBytes } = direction;
    if (this.#conversation.isHoldingAll(direction.side)) return false;
    if (heldBytes < length && heldBytes < CLASSIFY_BYTES_MAX) return false;
    classify(held, 0, heldBytes, length, direction.side, this.#conversation.channelIds, this.#class);
    direction.heldUpdate = this.#class.update;
    if (this.#class.hold) return false;
    const flags = this.#countAndFlag(direction);
    const view = held.subarray(0, heldBytes);
    this.#release(direction);
    step.forward.push(view);
    if (heldBytes === length) {
      this.#tap.frame(0, flags, this.#class.channelId, view, timeUs);
      if (this.#follows(direction)) this.#conversation.follow(view);
    } else {
      this.#tap.begin(flags, this.#class.channelId, length, timeUs, view);
      this.#tap.fill(direction.index, view);
      if (this.#follows(direction)) this.#beginCopy(direction, length, view);
      direction.mode = MODE_STREAM;
      direction.remaining = length - heldBytes;
    }
    return true;
  }

  /** A PDU the relay had to see whole. */
  #whole(direction: Direction, pdu: Uint8Array, timeUs: number, step: RelayStep): void {
    this.counters.pdus += 1;
    if (direction.heldUpdate) this.counters.updates += 1;
    direction.heldUpdate = false;
    const delivered = this.#conversation.pdu(direction.side, pdu, timeUs, step.events);
    if (delivered !== null && !(this.#ended && direction.side === 'server')) step.forward.push(delivered);
    // What waited for the end of what this peer says on that channel.
    if (!(this.#ended && direction.side === 'server'))
      step.forward.push(...this.#conversation.takeAnswers(otherOf(direction.side), timeUs));
  }

  #mustEnd(direction: Direction): boolean {
    return direction.side === 'server' && this.#endCode !== null;
  }

  #finish(timeUs: number, step: RelayStep): void {
    this.#ended = true;
    step.forward.push(this.#conversation.closingPdus(this.#endCode ?? 0, timeUs));
    step.events.push({ kind: 'ended' });
  }
}

const otherOf = (side: RelaySide): RelaySide => (side === 'client' ? 'server' : 'client');

function pushRun(step: RelayStep, bytes: Uint8Array, start: number, end: number): void {
  if (end <= start) return;
  step.forward.push(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
}
