/** A number that is read again and again, with what it was since the page was opened: nothing older is kept anywhere. */
import { fill, h, svg } from './dom.ts';
import { spokenDuration } from './format.ts';

/** An hour of them at one each 10 s. */
const readingsMax = 360;
const [width, height] = [240, 48];

export interface Reading {
  /** Milliseconds, by any clock that goes on. */
  at: number;
  value: number;
}

/** Points of a line over the whole width: the lowest value at the bottom, the highest at the top, in the middle where all are one. */
export function linePoints(readings: readonly Reading[]): string {
  const values = readings.map(({ value }) => value);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const [first, last] = [readings[0]?.at ?? 0, readings.at(-1)?.at ?? 0];
  const x = (at: number) => ((at - first) / (last - first || 1)) * width;
  const y = (value: number) =>
    most === least ? height / 2 : (1 - (value - least) / (most - least)) * (height - 4) + 2;
  return readings.map(({ at, value }) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
}

/** What the line shows, in words. */
export function readingWords(readings: readonly Reading[], say: (value: number) => string): string {
  if (readings.length < 2) return 'One reading so far';
  const values = readings.map(({ value }) => value);
  const [least, most] = [say(Math.min(...values)), say(Math.max(...values))];
  const time = spokenDuration((readings.at(-1)!.at - readings[0]!.at) / 1000);
  return `${least === most ? `Always ${least}` : `From ${least} to ${most}`} in ${readings.length} readings, ${time}`;
}

export interface Gauge {
  element: HTMLElement;
  add(reading: Reading, note?: string): void;
}

export function gauge(name: string, say: (value: number) => string): Gauge {
  const readings: Reading[] = [];
  const body = h('div', {});
  const element = h('section', { class: 'card tile', 'aria-label': name }, h('h3', {}, name), body);
  const add = (reading: Reading, note = ''): void => {
    readings.push(reading);
    if (readings.length > readingsMax) readings.shift();
    fill(
      body,
      h('div', { class: 'figure' }, say(reading.value)),
      note !== '' && h('div', { class: 'muted small' }, note),
      readings.length > 1 &&
        svg(
          'svg',
          { viewBox: `0 0 ${width} ${height}`, class: 'readings', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
          svg('polyline', { points: linePoints(readings) }),
        ),
      h('div', { class: 'muted small' }, `${readingWords(readings, say)}.`),
    );
  };
  return { element, add };
}
