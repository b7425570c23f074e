import { h } from './dom.ts';
import { icon } from './icons.ts';

const storageKey = 'lucid-theme';
type Theme = 'light' | 'dark';

function chosen(): Theme | null {
  const value = localStorage.getItem(storageKey);
  return value === 'light' || value === 'dark' ? value : null;
}

function current(): Theme {
  return chosen() ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
}

/** Follows the system until the user chooses. */
export function applyTheme(): void {
  const theme = chosen();
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

export function themeButton(): HTMLButtonElement {
  const button = h('button', { class: 'quiet square', type: 'button' });
  const show = (): void => {
    const dark = current() === 'dark';
    button.replaceChildren(icon(dark ? 'sun' : 'moon'));
    button.setAttribute('aria-label', dark ? 'Use light colours' : 'Use dark colours');
    button.title = button.getAttribute('aria-label') ?? '';
  };
  button.addEventListener('click', () => {
    localStorage.setItem(storageKey, current() === 'dark' ? 'light' : 'dark');
    applyTheme();
    show();
  });
  show();
  return button;
}
