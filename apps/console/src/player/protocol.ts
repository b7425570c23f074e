import type { SoundSamples } from '@lucid-sessions/rdp/sound';

/** What the page and the decode worker say to each other. Times are µs since the session's start. */

/**
 * Where a recording comes from. A page of another place names a token, one where somebody is signed in what `GET /auth/session` told it.
 * Both go to the worker by message and into a header: never into an address.
 */
export interface PlayerSource {
  /** Base of the Session API, such as `/api/v1`. */
  baseUrl: string;
  token?: string;
  csrfToken?: string | null;
  sessionId: string;
  /** The session still runs: follow its end. */
  live: boolean;
  /** The page knows that the session was imported; else the evidence says it. */
  imported?: boolean;
  /** Merkle root of its manifest, which pictures taken out of it name; null or absent: there is none yet. */
  root?: string | null;
  /** The recording is at hand, in a bundle's tar file, and the page itself checks its evidence: nothing is asked of an API. */
  bundle?: { file: Blob; viewKey: Uint8Array | null };
}

/** Something a person did or the gateway noted, for the list beside the picture. */
export interface PlayerEvent {
  timeUs: number;
  kind: 'keys' | 'pointer' | 'note' | 'clipboard' | 'drive' | 'screen';
  text: string;
}

/** The picture's size and which parts of it are monitors; one or none where the desktop lies on one. */
export interface PlayerMonitors {
  width: number;
  height: number;
  monitors: { left: number; top: number; width: number; height: number; primary: boolean }[];
}

export type VerdictName = 'integrity' | 'completeness' | 'origin' | 'time' | 'readability' | 'replay';
export type VerdictTone = 'good' | 'warn' | 'bad' | 'unknown';

/** One answer about the recording; `detail` is a sentence for a person. */
export interface Verdict {
  name: VerdictName;
  tone: VerdictTone;
  word: string;
  detail: string;
  /** Nobody has looked yet, and somebody could. */
  isOpen?: boolean;
}

export type ToWorker =
  | { type: 'open'; source: PlayerSource; canvas: OffscreenCanvas; startUs: number }
  | { type: 'play' }
  | { type: 'pause' }
  | { type: 'seek'; id: number; timeUs: number }
  | { type: 'step'; direction: 1 | -1 }
  | { type: 'rate'; rate: number }
  | { type: 'skipIdle'; on: boolean }
  | { type: 'pointer'; shown: boolean }
  /** Which monitor is looked at, from 0; null: the whole desktop. */
  | { type: 'view'; monitor: number | null }
  | { type: 'png'; id: number }
  | { type: 'export'; id: number; fromUs: number; toUs: number; framesPerSecond: number }
  | { type: 'cancelExport'; id: number }
  | { type: 'checkEveryChunk' }
  /** Have the server walk through the recording: what of it can be seen? */
  | { type: 'examine' }
  | { type: 'showLogon' }
  | { type: 'close' };

export type PlaybackState = 'paused' | 'playing' | 'loading' | 'ended';

export type FromWorker =
  | { type: 'opened'; durationUs: number; startedAtMs: number | null; live: boolean }
  /** Of what is looked at. */
  | { type: 'size'; width: number; height: number }
  /** At the moment shown; sent when it is another than before. */
  | ({ type: 'monitors' } & PlayerMonitors)
  /** The way to the first picture. */
  | { type: 'opening'; timeUs: number; durationUs: number }
  /**
   * `seekId` is the last seek heard: an older one's position must not move the slider back. `atEdge`: the picture is what the
   * live stream brought last.
   */
  | { type: 'position'; seekId: number; timeUs: number; durationUs: number; state: PlaybackState; atEdge: boolean }
  /** What keeps the live stream from going on; null when it does. */
  | { type: 'liveNotice'; text: string | null }
  /** The session is over and stored: an ordinary recording from now on. */
  | { type: 'over' }
  /** Relative activity, 0–1, over equal parts of the duration. */
  | { type: 'activity'; values: Float32Array }
  /**
   * More events of the index; they may lie before ones already sent. `remark`: what is not in the list, and why;
   * `hidesLogon`: what was typed before the logon can be asked for; `anew`: these are the first again.
   */
  | { type: 'events'; events: PlayerEvent[]; remark: string; hidesLogon: boolean; anew: boolean }
  /** Sound to be heard now, behind what came by the same channel; `silence` ends what is still to be heard. */
  | { type: 'sound'; channel: string; samples: SoundSamples }
  | { type: 'silence' }
  | { type: 'thumbnail'; timeUs: number; picture: ImageBitmap }
  /** `imported`: what every picture is shown with, because the recording was made of a file; null: it was recorded, or that is not known. */
  | { type: 'verdicts'; verdicts: Verdict[]; imported: string | null }
  | { type: 'checkProgress'; checked: number; total: number }
  /** How far the server has walked through the recording, or why it doesn't; null when it is over. */
  | { type: 'examining'; text: string | null }
  /** Kinds of updates that could not be drawn, with their counts: a reviewer must know. */
  | { type: 'notDrawn'; kinds: [string, number][] }
  /** The server draws the pictures, because this browser can't; `problem`: why there is none of this moment. */
  | { type: 'drawnByServer'; hasWebCodecs: boolean; problem: string | null }
  | { type: 'png'; id: number; blob: Blob }
  | { type: 'exportPart'; id: number; bytes: Uint8Array<ArrayBuffer>; progress: number }
  | { type: 'exported'; id: number; mimeType: string }
  | { type: 'exportFailed'; id: number; message: string }
  | { type: 'failed'; message: string };

export const ratesAllowed = [0.25, 0.5, 1, 2, 4, 8, 16] as const;
