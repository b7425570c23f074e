/** How much of a disk is left alone, and for what. One rule for everybody who writes to it. */
const mebibyte = 1024 * 1024;
const reserveBytesMax = 32 * mebibyte;
const reserveBytesMin = 4 * mebibyte;

export interface SpaceBounds {
  /** Kept back in a file, and given up only so that looking and deleting work on a full disk. */
  reserveBytes: number;
  /** With less than this free nothing is recorded: sessions end, or have a gap, before the reserve is touched. */
  recordingBytesMin: number;
  /** With less than this free operators are told. */
  alarmBytesMin: number;
}

/** A 500th of the disk, from 4 to 32 MiB, on tiny ones a twentieth; three times that for recording; a twentieth of the disk for the alarm. */
export function spaceBounds(totalBytes: number): SpaceBounds {
  const least = Math.min(reserveBytesMin, totalBytes / 20);
  const reserveBytes = Math.floor(Math.min(reserveBytesMax, Math.max(least, totalBytes / 500)));
  const recordingBytesMin = 3 * reserveBytes;
  return { reserveBytes, recordingBytesMin, alarmBytesMin: Math.max(totalBytes / 20, 2 * recordingBytesMin) };
}

export const mebibytesText = (bytes: number): string => `${Math.max(0, Math.floor(bytes / mebibyte))} MiB`;
