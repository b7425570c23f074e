import { readFileSync, readlinkSync } from 'node:fs';

/** Of every Linux that Node runs on. */
const ticksPerSecond = 100;

/**
 * Processor time of this thread and of the programs it started (ffmpeg), in ms. Elsewhere than on Linux those are not told
 * apart from others', and not counted.
 */
export class ThreadCpu {
  readonly #childrenPath = ownChildrenPath();
  /** What each program was last seen to have used: one that has ended since stays counted. */
  readonly #programs = new Map<string, number>();
  #endedMs = 0;

  usedMs(): number {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000 + this.#programsMs();
  }

  #programsMs(): number {
    if (this.#childrenPath === null) return 0;
    const running = readOrEmpty(this.#childrenPath).split(' ').filter(Boolean);
    for (const [pid, ms] of this.#programs)
      if (!running.includes(pid)) {
        this.#endedMs += ms;
        this.#programs.delete(pid);
      }
    for (const pid of running) this.#programs.set(pid, usedBy(pid) ?? this.#programs.get(pid) ?? 0);
    let runningMs = 0;
    for (const ms of this.#programs.values()) runningMs += ms;
    return this.#endedMs + runningMs;
  }
}

function ownChildrenPath(): string | null {
  try {
    // Read in the thread it names.
    return `/proc/${readlinkSync('/proc/thread-self')}/children`;
  } catch {
    return null;
  }
}

/** Fields 14 and 15 of proc(5), stat: user and system time. The name before them may hold anything. */
function usedBy(pid: string): number | null {
  const text = readOrEmpty(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return Number.isFinite(ticks) ? (ticks * 1000) / ticksPerSecond : null;
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
