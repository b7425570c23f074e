/** What stands above a desktop: where one is, keys the browser keeps for itself, clipboard, size, and the way out. */
import type { Session } from '../api/types.ts';
import { brand } from '../ui/brand.ts';
import { type Child, h } from '../ui/dom.ts';
import { icon } from '../ui/icons.ts';
import { type Combination, combinations } from '../ui/scancodes.ts';
import type { RemoteDesktop } from './remote-desktop.ts';

export interface ToolbarActions {
  desktop: () => RemoteDesktop | null;
  fullScreen: () => void;
  say: (text: string) => void;
}

export interface Toolbar {
  element: HTMLElement;
  /** Says how the connection stands; controls of a desktop are there only while there is one. */
  update(state: string, isConnected: boolean): void;
}

export function toolbar(session: Session, { desktop, fullScreen, say }: ToolbarActions): Toolbar {
  const keys = h(
    'select',
    { 'aria-label': 'Send keys' },
    h('option', { value: '' }, 'Send keys…'),
    Object.keys(combinations).map((name) => h('option', { value: name }, name)),
  );
  keys.addEventListener('change', () => {
    const name = keys.value;
    keys.value = '';
    if (name in combinations) desktop()?.press(name as Combination);
  });
  const button = (label: string, content: Child, click: () => void): HTMLButtonElement =>
    h('button', { type: 'button', title: label, 'aria-label': label, on: { click } }, content);
  const paste = button('Send my clipboard', [icon('clipboard'), 'Send clipboard'], () => {
    desktop()
      ?.sendClipboard()
      .then(
        () => say('Your clipboard is there: paste it as you do on that computer.'),
        () => say('This browser does not let the page read your clipboard: allow it beside the address.'),
      );
  });
  const full = button('Full screen', [icon('fullScreen')], fullScreen);
  full.classList.add('square');
  const leave = button('Disconnect', 'Disconnect', () => desktop()?.leave());
  const state = h('span', { class: 'status', role: 'status' }, '');
  const controls = [keys, paste, full, leave];
  const element = h(
    'header',
    { class: 'top connect-bar' },
    brand(),
    h('div', { class: 'where' }, h('a', { href: `/sessions/${session.session_id}` }, session.name), state),
    controls,
  );
  return {
    element,
    update(text, isConnected) {
      state.textContent = text;
      state.classList.toggle('good', isConnected);
      for (const control of controls) control.hidden = !isConnected;
    },
  };
}
