import { h } from './dom.ts';

/** Copies what stands beside it; where the browser lets nobody (no HTTPS) the text is selected, for the user to do it. */
export function copyable(label: string, text: string): HTMLElement {
  const value = h('code', {}, text);
  const button = h('button', { type: 'button', 'aria-label': `Copy ${label}` }, 'Copy');
  button.addEventListener('click', () => {
    const select = () => getSelection()?.selectAllChildren(value);
    const copied = navigator.clipboard?.writeText(text) ?? Promise.reject(new Error('not allowed'));
    copied.then(() => {
      button.textContent = 'Copied';
    }, select);
  });
  return h('div', { class: 'actions' }, h('span', { class: 'muted' }, label), value, button);
}
