import type { Compression, Effort } from './compress.ts';

/** What one chunk may cost: half of the time in which it must be durable is left to hashing, storage and waiting. */
const budgetNs = 40e6;
/** Weight of the newest measurement. */
const newest = 0.25;
/** How much an estimate moves back to its prior each time its level was passed over, so that a hard chunk is forgotten. */
const forgetting = 0.02;

/** Least share a sample must save: everything that helps when idle, only what pays for its time when chunks wait. */
const savingMin = { idle: 0.03, busy: 0.1 };

interface Rung {
  effort: Effort;
  priorNsPerByte: number;
  nsPerByte: number;
}

/** First guesses in ns per byte, replaced by measurement while running. */
function priorNsPerByte(compression: Compression, effort: Effort): number {
  if (compression === 'gzip') return effort === 'fast' ? 8 : 8 + 2 * effort;
  if (effort === 'fast') return 1.3;
  if (effort <= 3) return 2;
  return 2 + 0.6 * 1.3 ** Math.min(effort, 22) + (effort - 3);
}

/** The levels to choose from, strongest first; the last is 'fast' and always allowed. */
function ladder(compression: Compression, wish: number): Rung[] {
  const levels = compression === 'zstd' ? [wish, 12, 9, 6, 3] : compression === 'gzip' ? [wish, 6, 3] : [];
  const efforts: Effort[] = [...new Set(levels.filter((level) => level <= wish && level >= 2)), 'fast'];
  return efforts.map((effort) => {
    const prior = priorNsPerByte(compression, effort);
    return { effort, priorNsPerByte: prior, nsPerByte: prior };
  });
}

export interface PaceDecision {
  effort: Effort;
  savingMin: number;
}

/**
 * Chooses how hard to compress. `COMPRESSION_LEVEL` is the user's wish: it is kept while workers are idle and the level's
 * measured pace lets the chunk be done in time, and dropped, one rung after the other, before chunks have to wait.
 */
export class Pace {
  readonly #ladders: Record<Compression, Rung[]>;

  constructor(levelWish: number) {
    this.#ladders = {
      none: ladder('none', levelWish),
      zstd: ladder('zstd', levelWish),
      gzip: ladder('gzip', levelWish),
      lz4: ladder('lz4', levelWish),
    };
  }

  choose(compression: Compression, payloadBytes: number, busy: boolean): PaceDecision {
    if (busy) return { effort: 'fast', savingMin: savingMin.busy };
    for (const rung of this.#ladders[compression]) {
      if (rung.effort === 'fast' || rung.nsPerByte * payloadBytes <= budgetNs)
        return { effort: rung.effort, savingMin: savingMin.idle };
      rung.nsPerByte += (rung.priorNsPerByte - rung.nsPerByte) * forgetting;
    }
    return { effort: 'fast', savingMin: savingMin.idle };
  }

  /** Learns from a chunk that was really compressed with `effort`. */
  learn(compression: Compression, effort: Effort, payloadBytes: number, elapsedNs: number): void {
    const rung = this.#ladders[compression].find((candidate) => candidate.effort === effort);
    if (rung === undefined || payloadBytes < 64 * 1024) return;
    rung.nsPerByte += (elapsedNs / payloadBytes - rung.nsPerByte) * newest;
  }
}
