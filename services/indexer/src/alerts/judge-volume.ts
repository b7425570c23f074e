/** How much left the target, by the minute of the session. */
import { type AlertCondition, type AlertWay, alertMinutesMax } from '@lucid-sessions/contract';
import type { IndexEvent } from '@lucid-sessions/recording/session-index';

type VolumeCondition = Extract<AlertCondition, { kind: 'volume' }>;

const minuteUs = 60_000_000;
const columns: Record<AlertWay, number> = { clipboard: 1, drives: 3, printers: 5 };
const columnsCount = 7;

/** What an event took out of the target; null: nothing. A name that is copied is no file yet. */
export function leaving(event: IndexEvent): { way: AlertWay; bytes: number; files: number } | null {
  switch (event.kind) {
    case 'clipboard_text':
      return event.from === 'server' ? { way: 'clipboard', bytes: event.characters * 2, files: 0 } : null;
    case 'clipboard_data':
      return event.from === 'server' ? { way: 'clipboard', bytes: event.bytes, files: 0 } : null;
    case 'clipboard_file':
      return event.from === 'server' ? { way: 'clipboard', bytes: event.bytes ?? 0, files: 1 } : null;
    case 'drive_written':
      return { way: 'drives', bytes: event.bytes ?? 0, files: 1 };
    case 'print_job':
      return { way: 'printers', bytes: event.bytes ?? 0, files: 1 };
    default:
      return null;
  }
}

export const minuteOf = (timeUs: number): number => Math.floor(timeUs / minuteUs);

/** Adds what an event took out; minutes no rule can look at any more are left out. */
export function addLeaving(minutes: number[][], event: IndexEvent): boolean {
  const left = leaving(event);
  if (left === null) return false;
  const minute = minuteOf(event.timeUs);
  let row = minutes.find(([known]) => known === minute);
  if (row === undefined) {
    row = [minute, ...new Array<number>(columnsCount - 1).fill(0)];
    minutes.push(row);
    minutes.sort(([a = 0], [b = 0]) => a - b);
    while (minutes.length > alertMinutesMax) minutes.shift();
  }
  const column = columns[left.way];
  row[column] = Math.min(Number.MAX_SAFE_INTEGER, row[column]! + left.bytes);
  row[column + 1] = row[column + 1]! + left.files;
  return true;
}

/** Bytes or files that left in the minutes up to this one. */
export function leftUntil(minutes: readonly number[][], minute: number, condition: VolumeCondition): number {
  const { of, through, minutes: span } = condition;
  let sum = 0;
  for (const row of minutes) {
    const at = row[0]!;
    if (at > minute || at <= minute - span) continue;
    for (const way of through) sum += row[columns[way] + (of === 'files' ? 1 : 0)]!;
  }
  return sum;
}
