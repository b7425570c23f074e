import { bounds, intersect, isEmpty, type Screen } from '@lucid-sessions/graphics';
import { aroundMonitors } from '@lucid-sessions/rdp';
import type { PlayerMonitors } from '../protocol.ts';

/** Monitors as parts of the picture, whose corner is that of the desktop around them. Of one alone nothing is told. */
export function monitorsOfPicture({ monitors, width, height, pixels }: Screen): PlayerMonitors {
  if (monitors.length < 2) return { width, height, monitors: [] };
  const desktop = aroundMonitors(monitors);
  const parts = monitors.map(({ primary, ...monitor }) => {
    const place = { ...monitor, left: monitor.left - desktop.left, top: monitor.top - desktop.top };
    return { ...intersect(place, bounds(pixels)), primary };
  });
  // A layout that isn't this picture's would show less of it than there is.
  return { width, height, monitors: parts.some(isEmpty) ? [] : parts };
}
