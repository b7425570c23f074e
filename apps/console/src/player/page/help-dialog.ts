import { h } from '../../ui/dom.ts';

const keys: readonly (readonly [string, string])[] = [
  ['Space or K', 'Play and pause'],
  ['← →', 'Five seconds back and on; with Shift a minute'],
  [', .', 'One picture back and on'],
  ['< >', 'Slower and faster'],
  ['Home End', 'Beginning and end'],
  ['L', 'Live: to what happens now'],
  ['I', 'Skip idle time'],
  ['P', 'Show the pointer'],
  ['M', 'Sound on and off'],
  ['O', 'Next monitor, then all of them'],
  ['Z', 'Fit or actual size'],
  ['F', 'Full screen'],
  ['S', 'Save this picture as PNG'],
  ['E', 'Save as video'],
  ['/', 'Search events'],
];

export function helpDialog(): HTMLDialogElement {
  return h(
    'dialog',
    { 'aria-label': 'Keyboard' },
    h('h2', {}, 'Keyboard'),
    h(
      'dl',
      {},
      keys.map(([key, what]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, what)]),
    ),
    h('form', { method: 'dialog' }, h('button', { class: 'outlined', type: 'submit' }, 'Close')),
  );
}
