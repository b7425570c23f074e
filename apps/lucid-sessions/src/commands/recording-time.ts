/** Moments of a recording as people write them, counted from its start. */

const written = /^(?:(?:(\d{1,4}):)?(\d{1,2}):)?(\d{1,7})(?:\.(\d{1,6}))?$/;

/** `83`, `1:23`, `00:01:23`, `00:01:23.5` as µs. Throws RangeError that says how to write it. */
export function parseRecordingTime(text: string): number {
  const match = written.exec(text);
  const [hours, minutes, seconds] = [match?.[1], match?.[2], match?.[3]].map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
  ];
  const tooMany = match?.[2] !== undefined && (seconds > 59 || (match[1] !== undefined && minutes > 59));
  if (!match || tooMany)
    throw new RangeError(`"${text}" is no time in a recording: write 83, 1:23, 00:01:23 or 00:01:23.5`);
  return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + Number((match[4] ?? '').padEnd(6, '0'));
}

/** hh:mm:ss.mmm */
export function formatRecordingTime(timeUs: number): string {
  const ms = Math.floor(timeUs / 1000);
  const parts = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60, Math.floor(ms / 1000) % 60];
  return `${parts.map((part) => String(part).padStart(2, '0')).join(':')}.${String(ms % 1000).padStart(3, '0')}`;
}
