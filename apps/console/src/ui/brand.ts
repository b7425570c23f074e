import { h, svg } from './dom.ts';

/** The mark and the name. */
export function brand(): HTMLElement {
  const mark = svg(
    'svg',
    { viewBox: '0 0 32 32', 'aria-hidden': 'true' },
    svg('rect', { x: 2, y: 5, width: 28, height: 19, rx: 4, fill: 'var(--accent)' }),
    svg('path', {
      d: 'M13 10.2v8.600a.8.8 0 0 0 1.200.7l7.200-4.300a.8.8 0 0 0 0-1.400l-7.200-4.300a.8.8 0 0 0-1.200.7z',
      fill: 'var(--accent-text)',
    }),
    svg('rect', { x: 10, y: 26.5, width: 12, height: 2.5, rx: 1.25, fill: 'var(--accent)' }),
  );
  return h('a', { class: 'brand', href: '/sessions' }, mark, h('span', {}, 'Lucid Sessions'));
}
