import { DecodeError } from '@lucid-sessions/wire';
import type { Rectangle } from '../pixels.ts';
import type { Screen } from '../screen.ts';

/**
 * Runs one update's decoding. Bytes it can't decode are counted as `kind.code` and leave the rest of the replay alone:
 * a reviewer is better served by a picture with a counted hole than by none.
 */
export function guarded(screen: Screen, kind: string, decode: () => void, area: Rectangle | null = null): void {
  try {
    decode();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    screen.countUnsupported(`${kind}.${error.code}`, area);
  }
}
