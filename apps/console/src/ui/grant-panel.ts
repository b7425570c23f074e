/** Who is let see one recording beside their scope. */
import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import type { ApiClient } from '../api/client.ts';
import { act, answerPlace, doneNotice, sayFailure } from './act.ts';
import { fill, h } from './dom.ts';
import { instant, table } from './parts.ts';

type Grant = RestAnswer<'listGrants'>['grants'][number];

const daysMax = 365;

export function grantPanel(api: ApiClient, sessionId: string, mayGrant: boolean, signal: AbortSignal): HTMLElement {
  const params = { session_id: sessionId };
  const list = h('div', {});
  const answer = answerPlace();
  const user = h('input', { id: 'grant-user', required: true, maxlength: 100, autocomplete: 'off' });
  const days = h('input', { id: 'grant-days', type: 'number', required: true, min: 1, max: daysMax, value: 7 });
  const reason = h('input', { id: 'grant-reason', required: true, maxlength: 500, autocomplete: 'off' });
  const button = h('button', { type: 'submit', class: 'primary' }, 'Let them see it');
  const field = (label: string, control: HTMLInputElement) =>
    h('div', { class: 'field' }, h('label', { for: control.id }, label), control);

  async function load(): Promise<void> {
    const { grants } = await api.rest.listGrants({ params, signal });
    const revoke = (one: Grant) =>
      h(
        'button',
        {
          type: 'button',
          'aria-label': `Revoke for ${one.user_id}`,
          on: {
            click: () =>
              void api.rest
                .revokeGrant({ params: { ...params, user_id: one.user_id } })
                .then(load)
                .catch((error: unknown) => sayFailure(api, answer, error)),
          },
        },
        'Revoke',
      );
    const columns = [
      { name: 'Who', cell: (one: Grant) => one.user_id },
      { name: 'Until', cell: (one: Grant) => instant(one.expires_at) },
      { name: 'Reason', cell: (one: Grant) => one.reason },
      { name: 'Granted', cell: (one: Grant) => [instant(one.granted_at), ` by ${one.granted_by}`] },
      ...(mayGrant ? [{ name: 'Revoke', cell: revoke }] : []),
    ];
    fill(
      list,
      grants.length === 0
        ? h('p', { class: 'muted' }, 'Nobody: who sees it does so by what their account sees.')
        : table('People who are let see this recording', columns, grants),
    );
  }
  async function give(): Promise<void> {
    const body = { user_id: user.value.trim(), days: Number(days.value), reason: reason.value };
    await api.rest.grantRecording({ params, body });
    form.reset();
    fill(answer, doneNotice(`${body.user_id} may see it from now on, as far as their roles go.`));
    await load();
  }
  const submit = (event: Event): void => {
    event.preventDefault();
    void act(api, button, answer, give);
  };
  const form = h(
    'form',
    { class: 'form', on: { submit } },
    h('div', { class: 'row' }, field('User name', user), field('Days', days), field('Reason', reason)),
    h('div', { class: 'actions' }, button),
  );
  void load().catch((error: unknown) => sayFailure(api, list, error));
  return h('div', { class: 'steps' }, list, mayGrant && form, answer);
}
