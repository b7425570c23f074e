/** One capture on its way into an installation: read as the relay reads a live connection, sealed as its chunks are. */
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import {
  type ChunkToSeal,
  type EndReason,
  type ErrorName,
  isLucidError,
  LucidError,
  type ProcessorPort,
  type RecorderReport,
  type RecordingStatistics,
} from '@lucid-sessions/contract';
import { encodeNote, frameFlags, frameKinds, type GatewayNote } from '@lucid-sessions/recording';
import { type FrameTap, Relay, type RelayEvent, RelayViolation, unreplayable } from '@lucid-sessions/relay';
import { securityName } from '../security-name.ts';
import type { CapturedConnection } from './captured-connection.ts';
import { ChunkCutter } from './chunk-cutter.ts';

export interface ImportRunOptions {
  sessionId: string;
  capture: CapturedConnection;
  baseUs: number;
  chunkBytesMax: number;
  chunkAgeUs: number;
  seal: ProcessorPort['seal'];
  report: (report: RecorderReport) => Promise<void>;
  /** Wall clock. */
  wallUs: () => number;
}

/** Sessions that are recorded have the thread after so many bytes. */
const turnBytes = 256 * 1024;
const sealTriesMax = 6;
const retryMs = 250;
/** Trying again mends storage that is away or full for a moment, and nothing else. */
const passing: readonly ErrorName[] = ['unavailable', 'storage'];

const passedOver: FrameTap = { frame: () => {}, begin: () => {}, fill: () => {} };

/** What a capture holds that can be read; `problem` says why not all of it. Nothing is kept. */
export async function readThrough(
  capture: CapturedConnection,
  tap: FrameTap = passedOver,
  onPiece: (events: readonly RelayEvent[], relay: Relay) => boolean | Promise<boolean> = () => true,
): Promise<{ problem: string | null; bytes: number; pdus: number }> {
  const { requestedProtocols, selectedProtocol } = capture;
  // Nothing is taken out of a negotiation that is over.
  const policy = { requestedProtocols, selectedProtocol, graphics: 'passthrough', leaveIn: unreplayable } as const;
  const relay = new Relay(policy, tap);
  let { problem } = capture.claims;
  let sinceTurn = 0;
  try {
    for (const { fromServer, timeUs, bytes } of capture.pieces()) {
      const { events } = relay.step(fromServer ? 'server' : 'client', bytes, timeUs);
      if (!(await onPiece(events, relay))) break;
      sinceTurn += bytes.length;
      if (sinceTurn < turnBytes) continue;
      sinceTurn = 0;
      await turn();
    }
  } catch (error) {
    if (!(error instanceof RelayViolation)) throw error;
    problem = error.message;
  }
  return { problem, bytes: relay.counters.bytes, pdus: relay.counters.pdus };
}

export class ImportRun {
  readonly #options: ImportRunOptions;
  readonly #cutter: ChunkCutter;
  #stopped: { reason: EndReason; message: string } | null = null;
  #chunksCount = 0;
  #bytes = 0;
  #updates = 0;
  #toldClient = false;
  #client: Partial<Extract<GatewayNote, { type: 'client' }>> = {};
  readonly startedUs: number;
  /** Resolves when all has been reported. Never rejects. */
  readonly whenOver: Promise<void>;

  constructor(options: ImportRunOptions) {
    this.#options = options;
    this.#cutter = new ChunkCutter(options);
    this.startedUs = options.wallUs();
    this.whenOver = this.#run();
  }

  get sessionId(): string {
    return this.#options.sessionId;
  }

  get statistics(): RecordingStatistics {
    return {
      framesCount: this.#cutter.framesCount,
      relayedBytes: this.#bytes,
      framesDropped: 0,
      errorsCount: 0,
      durationUs: this.#cutter.lastUs,
      updatesCount: this.#updates,
    };
  }

  /** Ends it with what has been read; the first reason stays. */
  async stop(reason: EndReason, message: string): Promise<void> {
    this.#stopped ??= { reason, message };
    await this.whenOver;
  }

  async #run(): Promise<void> {
    const { sessionId, report, wallUs } = this.#options;
    const end = await this.#read().catch((error: unknown) => ({
      reason: 'import_failed' as const,
      message: `the import failed: ${error instanceof LucidError ? error.message : 'an internal error happened'}`,
      failed: true,
    }));
    const { statistics } = this;
    void report({ kind: 'ended', sessionId, atUs: wallUs(), ...end, statistics });
    await report({ kind: 'drained', sessionId, chunksCount: this.#chunksCount });
  }

  async #read(): Promise<{ reason: EndReason; message: string; failed: boolean }> {
    const { capture } = this.#options;
    for (const { fromServer, timeUs, bytes } of capture.hello)
      this.#cutter.frame(
        frameKinds.pdu,
        (fromServer ? frameFlags.serverToClient : 0) | frameFlags.beforeTls,
        0,
        bytes,
        timeUs,
      );
    let updatesSeen = 0;
    const { problem } = await readThrough(capture, this.#cutter, async (events, { counters }) => {
      this.#cutter.addUpdates(counters.updates - updatesSeen);
      updatesSeen = counters.updates;
      this.#updates = counters.updates;
      this.#bytes = counters.bytes;
      for (const event of events) this.#on(event);
      for (const chunk of this.#cutter.take()) await this.#seal(chunk);
      return this.#stopped === null;
    });
    const ending = this.#ending(problem);
    const atUs = this.#options.baseUs + this.#cutter.lastUs;
    this.#note({ type: 'ended', atUs, reason: ending.reason, message: ending.message });
    for (const chunk of this.#cutter.take()) await this.#seal(chunk);
    await this.#seal(this.#cutter.end());
    return ending;
  }

  #ending(problem: string | null): { reason: EndReason; message: string; failed: boolean } {
    const why = this.#stopped?.message ?? problem;
    if (why === null)
      return { reason: 'imported', message: 'imported from a file, to the end of its capture', failed: false };
    this.#gap(why);
    if (this.#stopped !== null) return { ...this.#stopped, failed: true };
    return { reason: 'imported', message: `imported from a file as far as it can be read: ${why}`, failed: false };
  }

  /** How much is missing nobody knows. */
  #gap(why: string): void {
    const { sessionId, report, baseUs } = this.#options;
    const fromUs = baseUs + this.#cutter.lastUs;
    const reason = `the capture was not read further: ${why}`;
    void report({ kind: 'fact', sessionId, fact: { kind: 'gap', fromUs, toUs: null, framesLost: 0, reason } });
  }

  /** What the gateway would have changed on the way (`downgrade`) did not happen to this connection. */
  #on(event: RelayEvent): void {
    const { sessionId, report, wallUs } = this.#options;
    if (event.kind === 'client') {
      const { kind: _, ...client } = event;
      this.#client = { ...client, security: securityName(this.#options.capture.selectedProtocol) };
    }
    if (event.kind === 'channels')
      this.#note({ type: 'client', ...this.#client, channels: event.channels } as GatewayNote);
    if (event.kind === 'client_info' && !this.#toldClient) {
      this.#toldClient = true;
      const clientUser = event.domain === '' ? event.userName : `${event.domain}\\${event.userName}`;
      const clientName = this.#client.clientName ?? null;
      void report({ kind: 'client', sessionId, atUs: wallUs(), clientName, clientUser: clientUser || null });
    }
  }

  #note(note: GatewayNote): void {
    this.#cutter.frame(frameKinds.note, 0, 0, encodeNote(note), this.#cutter.lastUs);
  }

  async #seal(chunk: ChunkToSeal): Promise<void> {
    for (let tries = 1; ; tries += 1)
      try {
        await this.#options.seal(chunk);
        this.#chunksCount += 1;
        return;
      } catch (error) {
        const mayPass = isLucidError(error, ...passing);
        if (!mayPass || tries >= sealTriesMax || this.#stopped !== null) throw error;
        await sleep(retryMs * 2 ** tries);
      }
  }
}
