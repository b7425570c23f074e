/** Helpers of the spool's tests: an engine on a real directory with a disk that can be told to fail. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { noRecordingStatistics } from '@lucid-sessions/contract';
import { FrameWriter, frameKinds } from '@lucid-sessions/recording';
import { createDisk, type SpoolDisk } from '../src/spool/spool-disk.ts';
import { SpoolEngine, type SpoolLimits } from '../src/spool/spool-engine.ts';
import type { ReadyChunk, SpoolEvent } from '../src/spool/spool-messages.ts';

export type Operation = keyof SpoolDisk;

/** A real disk whose operations fail while `fault` says so. */
export class FaultyDisk {
  readonly disk: SpoolDisk;
  fault: (operation: Operation, path: string | number) => string | null = () => null;
  readonly operations: Operation[] = [];
  constructor() {
    const real = createDisk();
    this.disk = Object.fromEntries(
      Object.entries(real).map(([name, run]) => [
        name,
        (...args: unknown[]) => {
          const operation = name as Operation;
          this.operations.push(operation);
          const code = this.fault(operation, args[0] as string);
          if (code !== null) {
            const error = Object.assign(new Error(`injected ${code}`), { code });
            if (operation === 'sync' || operation === 'syncDirectory' || operation === 'removeLater')
              return Promise.reject(error);
            throw error;
          }
          return (run as (...args: unknown[]) => unknown)(...args);
        },
      ]),
    ) as unknown as SpoolDisk;
  }
}

export const limits: SpoolLimits = {
  segmentBytesMax: 4096,
  segmentAgeMs: 60_000,
  commitEveryMs: 1,
  spoolBytesMax: 1 << 30,
  retryMs: 1,
  retryMsMax: 4,
  burstBytesPerSecond: 1e12,
  burstChunksPerSecond: 1000,
};

/** The engine's events, and what it published. */
export type HarnessEvent = SpoolEvent | { kind: 'durable'; session: number; framesDurable: number };

export interface Harness {
  engine: SpoolEngine;
  disk: FaultyDisk;
  directory: string;
  events: HarnessEvent[];
  /** Payloads sent to the processor, copied, in order. */
  chunks: { chunk: ReadyChunk; payload: Uint8Array }[];
  append: (session: number, frames: Uint8Array, framesCount?: number) => void;
  /** Waits until an event satisfies. */
  until: <T extends HarnessEvent>(found: (event: HarnessEvent) => event is T) => Promise<T>;
  untilTrue: (condition: () => boolean) => Promise<void>;
}

export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'lucid-spool-'));
  t.after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 20 }));
  return directory;
}

export interface HarnessOptions {
  limits?: Partial<SpoolLimits>;
  key?: Uint8Array;
  directory?: string;
  /** Answers to `ready`; without it chunks stay in their slot. */
  seal?: (chunk: ReadyChunk) => boolean;
  /** False: `seal` tells the engine by itself. */
  answer?: boolean;
  disk?: FaultyDisk;
}

export function openEngine(t: TestContext, options: HarnessOptions = {}): Harness {
  const directory = options.directory ?? temporaryDirectory(t);
  const disk = options.disk ?? new FaultyDisk();
  const events: HarnessEvent[] = [];
  const chunks: Harness['chunks'] = [];
  const waiters: (() => void)[] = [];
  const batchSlots = [new Uint8Array(8192)];
  const engineLimits = { ...limits, ...options.limits };
  const chunkSlots = [0, 1].map(() => new Uint8Array(engineLimits.segmentBytesMax));
  const engine = new SpoolEngine({
    disk: disk.disk,
    directory,
    key: options.key ?? new Uint8Array(32).fill(7),
    limits: engineLimits,
    batchSlots,
    releaseBatch: () => {},
    chunkSlots,
    wallUs: () => Date.now() * 1000,
    monotonicUs: () => Math.round(performance.now() * 1000),
    publish: (session, framesDurable) => {
      events.push({ kind: 'durable', session, framesDurable });
      for (const wake of waiters.splice(0)) setImmediate(wake);
    },
    emit: (event) => {
      events.push(event);
      if (event.kind === 'ready') {
        const { chunk } = event;
        chunks.push({ chunk, payload: chunkSlots[chunk.slot]!.slice(0, chunk.payloadBytes) });
        const { seal, answer = true } = options;
        if (seal !== undefined && !answer) setImmediate(() => seal(chunk));
        else if (seal !== undefined)
          setImmediate(() =>
            seal(chunk)
              ? engine.sealed(chunk.sessionId, chunk.index, chunk.slot)
              : engine.notSealed(chunk.sessionId, chunk.index, chunk.slot),
          );
      }
      for (const wake of waiters.splice(0)) setImmediate(wake);
    },
  });
  t.after(() => engine.close());
  const append: Harness['append'] = (session, frames, framesCount = 1) => {
    batchSlots[0]!.set(frames);
    engine.append([
      { session, slot: 0, bytes: frames.length, framesCount, updatesCount: 0, oldestUs: performance.now() * 1000 },
    ]);
  };
  const until: Harness['until'] = async (found) => {
    for (;;) {
      const event = events.find(found);
      if (event !== undefined) return event;
      await new Promise<void>((resolve) => waiters.push(resolve));
    }
  };
  const untilTrue = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  return { engine, disk, directory, events, chunks, append, until, untilTrue };
}

/** One encoded frame whose body is `length` bytes of `fill`. */
export function frame(fill: number, length: number, timeUs = 0): Uint8Array {
  const writer = new FrameWriter();
  writer.append(frameKinds.pdu, 0, 1003, timeUs, new Uint8Array(length).fill(fill));
  return writer.bytes().slice();
}

export const isKind =
  <K extends HarnessEvent['kind']>(kind: K) =>
  (event: HarnessEvent): event is Extract<HarnessEvent, { kind: K }> =>
    event.kind === kind;

export const end = {
  atUs: 1,
  reason: 'client_disconnected',
  message: 'the client went away',
  failed: false,
  statistics: noRecordingStatistics,
} as const;
