/** Fields that filter a list: what they give goes into the address and to the API. */
import { h } from './dom.ts';

const typingPauseMs = 250;

export const labelled = (label: string, control: HTMLElement): HTMLElement =>
  h('label', { class: 'field' }, h('span', {}, label), control);

/** A listener that gives what is typed when the typing pauses. Ends with `signal`. */
export function whenTyped(signal: AbortSignal, take: (value: string) => void): (event: Event) => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return (event) => {
    clearTimeout(timer);
    const { value } = event.target as HTMLInputElement;
    // Whoever has gone on to another page meanwhile must not find this one's filter in its address.
    timer = setTimeout(() => !signal.aborted && take(value), typingPauseMs);
  };
}

/** The day of an RFC 3339 time as a date field has it; a day begins and ends where its reader is. */
const dayOf = (instant: string | undefined): string => {
  const date = new Date(instant ?? '');
  if (Number.isNaN(date.getTime())) return '';
  const two = (value: number) => String(value).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
};
const instantOf = (day: string, time: string): string => {
  const date = new Date(`${day}T${time}`);
  return Number.isNaN(date.getTime()) ? '' : date.toISOString();
};

export const chosen = (event: Event): string => (event.target as HTMLInputElement | HTMLSelectElement).value;

/** A day that bounds a list; `time` is the moment of it in its reader's zone. */
export const dayField = (label: string, instant: string | undefined, time: string, take: (instant: string) => void) =>
  labelled(
    label,
    h('input', {
      type: 'date',
      value: dayOf(instant),
      on: { change: (event: Event) => take(instantOf(chosen(event), time)) },
    }),
  );
