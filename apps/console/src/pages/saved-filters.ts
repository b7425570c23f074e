/** Filters of the list of sessions that the own account keeps: taken, kept and forgotten by name. */
import type { ApiClient } from '../api/client.ts';
import { fill, h, setText } from '../ui/dom.ts';
import { explain, isAbort } from '../ui/page.ts';

interface Kept {
  name: string;
  query: string;
}

/** `present` is the query the list shows; `take` shows another one. */
export function savedFilters(
  api: ApiClient,
  present: () => string,
  take: (query: string) => void,
  signal: AbortSignal,
): HTMLElement {
  const host = h('div', { class: 'saved-filters' });
  const said = h('span', { class: 'muted small', role: 'status' });
  let chosen = '';

  async function ask(call: () => Promise<{ filters: Kept[] }>, done: string): Promise<void> {
    try {
      show((await call()).filters);
      setText(said, done);
    } catch (error) {
      if (!isAbort(error)) setText(said, explain(error));
    }
  }

  function show(filters: readonly Kept[]): void {
    const select = h(
      'select',
      {
        'aria-label': 'Saved filters',
        on: {
          change: (event) => {
            chosen = (event.target as HTMLSelectElement).value;
            forget.disabled = chosen === '';
            const kept = filters.find(({ name }) => name === chosen);
            if (kept) take(kept.query);
          },
        },
      },
      h('option', { value: '' }, filters.length === 0 ? 'No saved filters' : 'Saved filters'),
      filters.map(({ name }) => h('option', { value: name, selected: name === chosen }, name)),
    );
    const forget = h(
      'button',
      {
        type: 'button',
        disabled: !filters.some(({ name }) => name === chosen),
        on: {
          click: () => {
            const name = chosen;
            chosen = '';
            void ask(() => api.rest.removeFilter({ query: { name }, signal }), `“${name}” is forgotten.`);
          },
        },
      },
      'Forget',
    );
    const name = h('input', {
      'aria-label': 'Name to save these filters under',
      placeholder: 'Name',
      maxlength: 60,
      required: true,
    });
    const keep = h(
      'form',
      {
        class: 'keep-filter',
        on: {
          submit: (event) => {
            event.preventDefault();
            chosen = name.value.trim();
            const body = { name: chosen, query: present() };
            void ask(() => api.rest.saveFilter({ body, signal }), `Saved as “${chosen}”.`);
          },
        },
      },
      name,
      h('button', {}, 'Save these'),
    );
    fill(host, select, forget, keep, said);
  }

  // Whoever has no account keeps none, and is offered none.
  void api.rest.listFilters({ signal }).then(
    ({ filters }) => show(filters),
    () => {},
  );
  return host;
}
