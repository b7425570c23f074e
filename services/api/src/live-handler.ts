/** Watching a session while it is recorded: its frames as a stream that goes on until the session ends. */
import { Readable } from 'node:stream';
import { isLucidError, type LiveFrames, LucidError, restRoutes, type SessionStatus } from '@lucid-sessions/contract';
import { blankInputs, clearInputFlags, PAYLOAD_HEADER_BYTES, writePayloadHeader } from '@lucid-sessions/recording';
import { type Api, type Call, FileAnswer, type Handlers, loadSession } from './call.ts';
import { addCustody } from './custody.ts';
import { openKey } from './evidence-handlers.ts';
import { admitInputs } from './inputs.ts';
import { mayDo } from './people/callers.ts';
import { needVisible } from './scope-gate.ts';
import { isGranted } from './viewing-gate.ts';

/** Without frames a block without any is sent this often, so that both ends notice when the other is gone. */
const waitMs = 5000;
export const liveLimitsDefault = { viewersMax: 32, viewersPerUserMax: 4, stallMs: 30_000 } as const;
const blockHeaderBytes = 8;
/** Between two looks at whether a viewer is let in still. */
const againUs = 5_000_000;

/** Who watches a session as it happens. */
export interface LiveViews {
  /** Viewers by user. */
  viewers: Map<string, number>;
  streams: Set<Readable>;
}

/** Before the server closes: a stream that goes on for as long as its session would keep it from closing. */
export function endLiveStreams({ live }: Api): void {
  for (const stream of live.streams) stream.destroy();
}

/** A place among the viewers; answers how to give it back. */
function takePlace({ api, user }: Call<'liveSession'>): () => void {
  const { viewers } = api.live;
  const { viewersMax, viewersPerUserMax } = api.deps.liveLimits ?? liveLimitsDefault;
  const mine = viewers.get(user.userId) ?? 0;
  const all = [...viewers.values()].reduce((sum, count) => sum + count, 0);
  if (all >= viewersMax || mine >= viewersPerUserMax)
    throw new LucidError('unavailable', 'too many sessions are being watched; close another live view first', {
      details: { viewers_max: viewersMax, viewers_per_user_max: viewersPerUserMax },
    });
  viewers.set(user.userId, mine + 1);
  let taken = true;
  return () => {
    if (!taken) return;
    taken = false;
    const left = (viewers.get(user.userId) ?? 1) - 1;
    if (left > 0) viewers.set(user.userId, left);
    else viewers.delete(user.userId);
  };
}

/**
 * `u32 chunk index, u32 length, payload`: the payload is that of a chunk, its `openedUs` the moment it was sent. Typed and copied frames
 * are zeroed for whoever did not ask for them.
 */
function blockOf(
  { chunkIndex, firstFrame, framesCount, frames }: LiveFrames,
  openedUs: number,
  inputs: boolean,
): Uint8Array {
  const block = new Uint8Array(blockHeaderBytes + PAYLOAD_HEADER_BYTES + frames.length);
  const view = new DataView(block.buffer);
  view.setUint32(0, chunkIndex);
  view.setUint32(4, PAYLOAD_HEADER_BYTES + frames.length);
  writePayloadHeader(block, { framesCount, firstFrameNumber: firstFrame, openedUs }, blockHeaderBytes);
  block.set(frames, blockHeaderBytes + PAYLOAD_HEADER_BYTES);
  const readable = inputs ? clearInputFlags : blankInputs;
  readable(block, blockHeaderBytes + PAYLOAD_HEADER_BYTES);
  return block;
}

/** Whoever is disabled, or signed out, sees no more; nor does who lost the right to. */
async function isLetIn({ api, user, sessionId, query }: Call<'liveSession'>): Promise<boolean> {
  try {
    const now = await user.again();
    await needVisible({ api, user: now }, sessionId);
    const maySee = restRoutes.liveSession.permissions.some((permission) => mayDo(now, permission));
    return maySee && (!query.inputs || mayDo(now, 'recordings:inputs'));
  } catch (thrown) {
    if (isLucidError(thrown, 'unauthenticated', 'sessionNotFound')) return false;
    throw thrown;
  }
}

/** Asks the recorder only when the viewer has taken what came before: one who is slow holds one answer, and nobody up. */
async function* blocks(
  call: Call<'liveSession'>,
  first: LiveFrames,
  beforeBlock: () => void,
  afterBlock: () => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { api, sessionId, query } = call;
  let lookedUs = api.deps.nowUs();
  for (let answer = first; answer.state === 'recording' && (await isGranted(call)); ) {
    const nowUs = api.deps.nowUs();
    if (nowUs - lookedUs >= againUs) {
      if (!(await isLetIn(call))) return;
      lookedUs = nowUs;
    }
    beforeBlock();
    yield blockOf(answer, api.deps.nowUs(), query.inputs);
    afterBlock();
    const afterFrame = answer.firstFrame + answer.framesCount;
    answer = await api.deps.recorder.liveFrames({ sessionId, afterFrame, waitMs });
  }
}

/** A viewer that takes nothing for a while is cut off. */
function streamOf(call: Call<'liveSession'>, first: LiveFrames, onClosed: () => void): Readable {
  const { stallMs } = call.api.deps.liveLimits ?? liveLimitsDefault;
  let timer: NodeJS.Timeout | undefined;
  const stalled = (): void =>
    void stream.destroy(new LucidError('unavailable', 'the viewer took nothing for too long'));
  const content = blocks(
    call,
    first,
    () => {
      timer = setTimeout(stalled, stallMs);
    },
    () => clearTimeout(timer),
  );
  const stream = Readable.from(content, { objectMode: false });
  const { streams } = call.api.live;
  streams.add(stream);
  stream.once('close', () => {
    clearTimeout(timer);
    streams.delete(stream);
    onClosed();
  });
  return stream;
}

const notLive: readonly SessionStatus[] = ['created', 'completed', 'failed'];

async function liveSession(call: Call<'liveSession'>): Promise<FileAnswer> {
  const { api, sessionId, query } = call;
  const { status } = await loadSession(call);
  // Whoever could not play the recording here may not watch it become one.
  await openKey(call);
  await admitInputs(call, 'live with inputs');
  const release = takePlace(call);
  try {
    const asked = { sessionId, afterFrame: query.after_frame, waitMs: 0 };
    const first = await api.deps.recorder.liveFrames(asked).catch((thrown: unknown) => {
      if (!isLucidError(thrown, 'unavailable') || !notLive.includes(status)) throw thrown;
      throw new LucidError('notInThisState', `the session is ${status}: nothing of it happens now`);
    });
    if (first.state === 'stored')
      throw new LucidError('conflict', `frames before ${first.firstFrame} are stored; read their chunks first`, {
        details: { first_frame: first.firstFrame },
      });
    // Signed before the first frame leaves: there is no view without its record.
    await addCustody(call, 'view', 'live');
    return new FileAnswer(streamOf(call, first, release), null);
  } catch (thrown) {
    release();
    throw thrown;
  }
}

export const liveHandlers: Handlers<'liveSession'> = { liveSession };
