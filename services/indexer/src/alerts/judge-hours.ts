/** Whether work is as usual at a moment, by the clock of a time zone. */
import type { AlertCondition } from '@lucid-sessions/contract';

type HoursCondition = Extract<AlertCondition, { kind: 'hours' }>;

const weekdays = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
const formats = new Map<string, Intl.DateTimeFormat>();
const formatsMax = 100;

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  if (formats.size >= formatsMax) formats.clear();
  formats.set(timeZone, format);
  return format;
}

/** `HH:MM` and the day, 1 Monday to 7 Sunday. */
function localTime(timeZone: string, atUs: number): { time: string; day: number } {
  const parts = formatOf(timeZone).formatToParts(atUs / 1000);
  const part = (type: string): string => parts.find((one) => one.type === type)?.value ?? '';
  return { time: `${part('hour')}:${part('minute')}`, day: weekdays.indexOf(part('weekday')) + 1 };
}

export function isUsualTime({ time_zone, days, from, to }: HoursCondition, atUs: number): boolean {
  const { time, day } = localTime(time_zone, atUs);
  const dayBefore = day === 1 ? 7 : day - 1;
  if (from < to) return days.includes(day) && time >= from && time < to;
  // Over midnight; from then to then it is the whole day.
  return (days.includes(day) && time >= from) || (days.includes(dayBefore) && time < to);
}
