import { svg } from './dom.ts';

/** Paths of 24 × 24 icons, drawn for this project: strokes of 2, no fill unless the name ends in `Fill`. */
const paths = {
  play: 'M8 5.5v13l11-6.5z',
  pause: 'M8 5v14M16 5v14',
  stepBack: 'M17 6l-8 6 8 6zM6 6v12',
  stepForward: 'M7 6l8 6-8 6zM18 6v12',
  skip: 'M5 6l7 6-7 6zM13 6l7 6-7 6z',
  fit: 'M4 9V5h4M20 9V5h-4M4 15v4h4M20 15v4h-4',
  oneToOne: 'M6 8l2-1v10M16 8l2-1v10M12 9.5v.01M12 14.5v.01',
  fullScreen: 'M9 4H4v5M15 4h5v5M9 20H4v-5M15 20h5v-5',
  camera: 'M4 8h3l2-3h6l2 3h3v11H4zM12 16.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z',
  film: 'M4 5h16v14H4zM8 5v14M16 5v14M4 9.5h4M4 14.5h4M16 9.5h4M16 14.5h4',
  search: 'M11 17a6 6 0 1 0 0-12 6 6 0 0 0 0 12zM15.5 15.5L20 20',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  cross: 'M6 6l12 12M18 6L6 18',
  question: 'M9 9.2a3 3 0 1 1 4.2 2.8c-.9.5-1.2 1-1.2 2M12 17.5v.01',
  wait: 'M12 7v5l3 2M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16z',
  plus: 'M12 5v14M5 12h14',
  download: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  key: 'M3 7h18v10H3zM7 10.5v.01M11 10.5v.01M15 10.5v.01M8 14h8',
  pointer: 'M6 4l12 7-5 1.5L10.500 18z',
  note: 'M6 4h12v16H6zM9 9h6M9 13h6',
  clipboard: 'M9 5H6v15h12V5h-3M9 4h6v3H9z',
  screen: 'M4 5h16v11H4zM9 20h6M12 16v4',
  sound: 'M4 9.5v5h3.500L12 18.500v-13L7.500 9.500zM15.500 9a4 4 0 0 1 0 6M18 6.500a7.500 7.500 0 0 1 0 11',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 3v2M12 19v2M3 12h2M19 12h2M5.600 5.600L7 7M17 17l1.400 1.400M5.600 18.400L7 17M17 7l1.400-1.400',
  moon: 'M19 14.500A7.500 7.500 0 0 1 9.500 5 7.500 7.500 0 1 0 19 14.500z',
  link: 'M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.700-5.700L12 7M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.700 5.700L12 17',
  warning: 'M12 4l9 16H3zM12 10v4.500M12 17.200v.01',
} as const;
export type IconName = keyof typeof paths;

/** An icon without a name of its own: the control around it carries the label. */
export function icon(name: IconName): SVGElement {
  return svg('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true' }, svg('path', { d: paths[name] }));
}
