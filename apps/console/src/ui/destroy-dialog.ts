/** Asks for a name and a reason before something is destroyed for good. */
import { fill, h, setText } from './dom.ts';
import { failure } from './page.ts';

export interface Destruction {
  title: string;
  /** What will be gone, and what stays. */
  consequence: string;
  /** What has to be typed. */
  name: string;
  /** What the button says. */
  action: string;
  destroy(consent: { confirm: string; reason: string }): Promise<void>;
}

const reasonCharactersMax = 500;
const plain = (text: string): string => text.normalize('NFC').trim();

function field(id: string, label: string, maxlength: number) {
  const problem = h('small', { id: `${id}-problem`, class: 'problem' });
  const input = h('input', { id, type: 'text', autocomplete: 'off', maxlength, 'aria-describedby': problem.id });
  /** Empty: all is well. */
  const complain = (text: string): boolean => {
    setText(problem, text);
    if (text === '') input.removeAttribute('aria-invalid');
    else input.setAttribute('aria-invalid', 'true');
    return text !== '';
  };
  input.addEventListener('input', () => complain(''));
  return { element: h('div', { class: 'field' }, h('label', { for: id }, label), input, problem), input, complain };
}

/**
 * Shows the dialog. The focus begins at the name and goes back to `opener` (or what stands in its place by then); Escape and
 * Cancel change nothing; while it is being destroyed a second press does nothing.
 */
export function askToDestroy(what: Destruction, opener: () => HTMLElement | null, signal: AbortSignal): void {
  const name = field('destroy-name', 'Type its name to confirm', 255);
  const reason = field('destroy-reason', 'Why? It goes into the audit log.', reasonCharactersMax);
  const answer = h('div', { 'aria-live': 'assertive' });
  const submit = h('button', { type: 'submit', class: 'danger' }, what.action);
  const cancel = h('button', { type: 'button', on: { click: () => dialog.close() } }, 'Cancel');
  const form = h(
    'form',
    { novalidate: true },
    h('h2', { id: 'destroy-title' }, what.title),
    h('p', { id: 'destroy-consequence' }, what.consequence),
    h('p', { class: 'quoted' }, what.name),
    name.element,
    reason.element,
    answer,
    h('div', { class: 'actions' }, cancel, submit),
  );
  const dialog = h(
    'dialog',
    { class: 'ask', 'aria-labelledby': 'destroy-title', 'aria-describedby': 'destroy-consequence' },
    form,
  );

  function consent(): { confirm: string; reason: string } | null {
    const why = plain(reason.input.value);
    const isOther = name.complain(plain(name.input.value) === plain(what.name) ? '' : 'This is not its name.');
    const isMissing = reason.complain(why === '' ? 'Say why.' : '');
    if (isOther) name.input.focus();
    else if (isMissing) reason.input.focus();
    return isOther || isMissing ? null : { confirm: what.name, reason: why };
  }
  async function destroy(): Promise<void> {
    const given = consent();
    if (given === null || submit.disabled) return;
    submit.disabled = true;
    try {
      await what.destroy(given);
      dialog.close();
    } catch (error) {
      fill(answer, failure(error));
    } finally {
      submit.disabled = false;
    }
  }
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void destroy();
  });
  // A press beside the fields, as the second one of a double click, leaves the focus where it is.
  dialog.addEventListener('mousedown', (event) => {
    if (event.target === dialog) event.preventDefault();
  });
  dialog.addEventListener('close', () => {
    dialog.remove();
    opener()?.focus();
  });
  signal.addEventListener('abort', () => dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  name.input.focus();
}
