import { SessionDecoder } from '@lucid-sessions/graphics';
import { FrameSplitter, StreamInspector } from '@lucid-sessions/rdp';
import { type Frame, frameFlags, frameKinds } from '@lucid-sessions/recording';
import { type Capture, readCapture } from './capture.ts';

const gapUs = 500_000;

/** The capture's bytes cut into PDUs, as the relay sees them. */
export function captureFrames(capture: Capture): Frame[] {
  const splitters = { client: new FrameSplitter(), server: new FrameSplitter() };
  const frames: Frame[] = [];
  for (const { fromServer, beforeTls, timeMs, bytes } of capture.records) {
    const splitter = fromServer ? splitters.server : splitters.client;
    splitter.push(bytes);
    for (let frame = splitter.next(); frame !== null; frame = splitter.next()) {
      const body = frame.slice();
      // MCS Connect-Initial and -Response (BER application tags 101 and 102) end the connecting phase.
      if (body[0] === 3 && body[7] === 0x7f && (body[8] === 0x65 || body[8] === 0x66)) splitter.connecting = false;
      const flags =
        (fromServer ? frameFlags.serverToClient : 0) |
        (beforeTls ? frameFlags.beforeTls : 0) |
        (!splitter.connecting && (body[0]! & 3) === 0 ? frameFlags.fastPath : 0);
      frames.push({ kind: frameKinds.pdu, flags, channelId: 0, timeUs: timeMs * 1000, body });
    }
  }
  return frames;
}

/** MCS Disconnect Provider Ultimatum, [T.125] 11.15: a loop has no end. */
const isDisconnect = ({ body }: Frame): boolean => body[0] === 3 && body.length === 9 && body[7] === 0x21;

/** H.264, where there is any, begins right behind the first pictures of other kinds. */
const framesBeforeH264Max = 500;

/**
 * How many frames come before what can be repeated: what only a connection's beginning may hold. Most pictures stand for
 * themselves from the second one on; an H.264 stream begins anew with its first.
 */
function introLength(frames: readonly Frame[]): number {
  let h264 = false;
  const decoder = new SessionDecoder({
    createH264Decoder: () => {
      h264 = true;
      return { decode: () => null, close: () => {} };
    },
  });
  const inspector = new StreamInspector();
  let drawn = 0;
  /** Behind the last frame that left no message of a dynamic channel begun. */
  let whole = 0;
  let begun = false;
  for (const [index, { flags, body }] of frames.entries()) {
    const fromServer = (flags & frameFlags.serverToClient) !== 0;
    void decoder.push({ fromServer, bytes: body });
    if (h264) return whole;
    const kinds = inspector.push(fromServer ? 'server' : 'client', body).map(({ kind }) => kind);
    if (fromServer && kinds.includes('dynamicChannel')) begun = !kinds.includes('dynamicMessage');
    if (!begun) whole = index + 1;
    if (drawn === 0 && decoder.screen.framesCount > 0) drawn = index + 1;
    if (drawn > 0 && index > drawn + framesBeforeH264Max) break;
  }
  return drawn;
}

/**
 * A long recording of a short capture: its connection, then what came after the first picture (in H.264: with it) again and again until `untilUs`.
 * Only for captures whose updates stand for themselves: no bulk compression, whose history would not be the same.
 */
export function* loopedFrames(capturePath: string, untilUs: number): Generator<Frame, void, undefined> {
  const frames = captureFrames(readCapture(capturePath)).filter((frame) => !isDisconnect(frame));
  const intro = introLength(frames);
  yield* frames.slice(0, intro);
  const body = frames.slice(intro);
  const startUs = frames[intro - 1]?.timeUs ?? 0;
  const turnUs = (frames.at(-1)?.timeUs ?? 0) - startUs + gapUs;
  for (let shiftUs = 0; body.length > 0; shiftUs += turnUs)
    for (const frame of body) {
      const timeUs = frame.timeUs + shiftUs;
      if (timeUs > untilUs) return;
      yield { ...frame, timeUs };
    }
}
