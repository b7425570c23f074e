/** Processor time from /proc, for benches: of a process by thread, and of all that descends from it. */
import { readdirSync, readFileSync } from 'node:fs';

const ticksPerSecond = 100;

/** Processor seconds by name of thread, of a process and of what it started (ffmpeg). */
export function threadSeconds(pid: number): Map<string, number> {
  const threads = new Map<string, number>();
  const add = (name: string, cpu: number): void => void threads.set(name, (threads.get(name) ?? 0) + cpu);
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const stat = statOf(`/proc/${pid}/task/${task}/stat`);
    if (stat !== null) add(stat.name, stat.ownSeconds);
  }
  const main = statOf(`/proc/${pid}/stat`);
  add('children that ended', main?.childSeconds ?? 0);
  for (const child of childrenOf(pid)) {
    const stat = statOf(`/proc/${child}/stat`);
    if (stat !== null) add('children that ended', stat.ownSeconds + stat.childSeconds);
  }
  return threads;
}

/** Of a process, all its threads and everything it started. */
export function treeSeconds(pid: number): number {
  const own = statOf(`/proc/${pid}/stat`);
  if (own === null) return 0;
  return childrenOf(pid).reduce((sum, child) => sum + treeSeconds(child), own.ownSeconds + own.childSeconds);
}

function statOf(path: string): { name: string; ownSeconds: number; childSeconds: number } | null {
  try {
    const text = readFileSync(path, 'utf8');
    const name = text.slice(text.indexOf('(') + 1, text.lastIndexOf(')'));
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const seconds = (from: number): number => (Number(fields[from]) + Number(fields[from + 1])) / ticksPerSecond;
    return { name, ownSeconds: seconds(11), childSeconds: seconds(13) };
  } catch {
    return null;
  }
}

export const childrenOf = (pid: number): number[] =>
  readdirSync(`/proc/${pid}/task`).flatMap((task) => {
    try {
      return readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
    } catch {
      return [];
    }
  });
