/** What lets somebody in beside the password: an authenticator app with its recovery codes, and passkeys. */
import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import { act, answerPlace, askFirst, doneNotice } from '../ui/act.ts';
import { copyable } from '../ui/copyable.ts';
import { type Child, fill, h } from '../ui/dom.ts';
import type { PageContext } from '../ui/page.ts';
import { instant, table } from '../ui/parts.ts';
import { hasPasskeys, makePasskey } from '../ui/passkey.ts';
import { field } from './sign-in.ts';

type Account = RestAnswer<'getAccount'>;
type Passkey = Account['passkeys'][number];

const press = (label: string, work: (button: HTMLButtonElement) => void, tone = ''): HTMLButtonElement => {
  const button = h('button', { type: 'button', class: tone }, label);
  button.addEventListener('click', () => work(button));
  return button;
};

const codesNotice = (codes: readonly string[]): HTMLElement =>
  doneNotice(
    h(
      'p',
      {},
      'Recovery codes, shown this once. Each lets you in once when the app is lost: print them, or keep them where the app is not.',
    ),
    h(
      'ul',
      { class: 'recovery-codes', 'aria-label': 'Recovery codes' },
      codes.map((code) => h('li', {}, h('code', {}, code))),
    ),
  );

export function totpCard({ api, signal }: PageContext, { user, totp_possible }: Account): HTMLElement {
  const body = h('div', { class: 'steps' });
  const answer = answerPlace();

  function showOff(): void {
    const start = press('Set up', (button) => void act(api, button, answer, begin), 'primary');
    fill(
      body,
      h('p', {}, 'Off. With an app a sign-in by password asks for a code of six digits, too.'),
      totp_possible
        ? h('div', { class: 'actions' }, start)
        : h('p', { class: 'muted' }, 'This installation has no key to seal an app’s secret under (accounts.key).'),
    );
  }
  async function begin(): Promise<void> {
    const { secret, uri } = await api.rest.startTotp();
    const code = h('input', {
      id: 'totp-code',
      required: true,
      inputmode: 'numeric',
      autocomplete: 'one-time-code',
      pattern: '\\s*[0-9]{6}\\s*',
      maxlength: 10,
    });
    const confirm = h('button', { type: 'submit', class: 'primary' }, 'Confirm');
    const submit = (event: Event): void => {
      event.preventDefault();
      void act(api, confirm, answer, async () => {
        const { recovery_codes } = await api.rest.confirmTotp({ body: { code: code.value } });
        showOn(recovery_codes.length);
        fill(answer, codesNotice(recovery_codes));
      });
    };
    fill(
      body,
      h('p', {}, 'Give the app this secret: by the link on the device the app is on, or typed by hand.'),
      h('div', { class: 'actions' }, h('a', { class: 'button', href: uri }, 'Open in an app')),
      copyable('Secret', secret),
      copyable('Link', uri),
      h(
        'form',
        { class: 'steps', on: { submit } },
        field('The code the app shows', code),
        h('div', { class: 'actions' }, confirm, press('Not now', showOff)),
      ),
    );
    code.focus();
  }
  function showOn(left: number): void {
    const renew = async (): Promise<void> => {
      const { recovery_codes } = await api.rest.renewRecoveryCodes();
      showOn(recovery_codes.length);
      fill(answer, codesNotice(recovery_codes));
    };
    const remove = async (): Promise<void> => {
      await api.rest.removeTotp();
      fill(answer);
      showOff();
    };
    const askRemove = (): void =>
      askFirst(
        api,
        {
          title: 'Remove the authenticator app?',
          consequence: 'A sign-in by password asks for no code any more. The recovery codes end, too.',
          action: 'Remove it',
          work: remove,
        },
        signal,
      );
    fill(
      body,
      h('p', {}, h('span', { class: 'status good' }, 'on'), ` ${left} recovery codes left.`),
      h(
        'div',
        { class: 'actions' },
        press('New recovery codes', (button) => void act(api, button, answer, renew)),
        press('Remove', askRemove, 'danger'),
      ),
    );
  }

  if (user.has_totp) showOn(user.recovery_codes);
  else showOff();
  return h(
    'section',
    { class: 'card', 'aria-labelledby': 'totp-title' },
    h('h2', { id: 'totp-title' }, 'Authenticator app'),
    body,
    answer,
  );
}

/** `possible`: whether the API offers them under the address the browser knows it by. */
export function passkeyCard({ api, signal }: PageContext, account: Account, possible: boolean): HTMLElement {
  const list = h('div', {});
  const answer = answerPlace();

  function show(passkeys: readonly Passkey[]): void {
    const remove = (one: Passkey): HTMLElement => {
      const button = press('Remove', () => askRemove(one));
      button.setAttribute('aria-label', `Remove ${one.name}`);
      return button;
    };
    fill(
      list,
      passkeys.length === 0
        ? h('p', { class: 'muted' }, 'None yet.')
        : table<Passkey>(
            'List of passkeys',
            [
              { name: 'Name', cell: ({ name }) => name },
              { name: 'Added', cell: (one) => instant(one.created_at) },
              { name: 'Last used', cell: (one): Child => (one.used_at === null ? 'never' : instant(one.used_at)) },
              { name: 'Remove', cell: remove },
            ],
            passkeys,
          ),
    );
  }
  const reload = async (): Promise<void> => show((await api.rest.getAccount({ signal })).passkeys);
  function askRemove({ passkey_id, name }: Passkey): void {
    const work = async (): Promise<void> => {
      await api.rest.removePasskey({ params: { passkey_id } });
      fill(answer);
      await reload();
    };
    const consequence = 'It lets you in no more. The device goes on showing it until you delete it there.';
    askFirst(api, { title: `Remove the passkey “${name}”?`, consequence, action: 'Remove it', work }, signal);
  }

  const name = h('input', { id: 'passkey-name', required: true, maxlength: 100, autocomplete: 'off' });
  const button = h('button', { type: 'submit', class: 'primary' }, 'Add a passkey');
  const add = async (): Promise<void> => {
    const { challenge_id, options } = await api.rest.newPasskeyChallenge();
    const response = await makePasskey(options);
    const made = await api.rest.addPasskey({ body: { challenge_id, name: name.value, response } });
    form.reset();
    fill(answer, doneNotice(`“${made.name}” lets you in from now on.`));
    await reload();
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    void act(api, button, answer, add);
  };
  const form = h(
    'form',
    { class: 'steps', on: { submit } },
    field('Name of the device', name, 'So that you know it in this list.'),
    h('div', { class: 'actions' }, button),
  );
  const why = !possible
    ? 'Passkeys need HTTPS (or localhost) and a host name, not an IP address: open the console by such an address.'
    : 'This browser has no passkeys, or is too old for these.';
  show(account.passkeys);
  return h(
    'section',
    { class: 'card', 'aria-labelledby': 'passkeys-title' },
    h('h2', { id: 'passkeys-title' }, 'Passkeys'),
    h('p', { class: 'muted' }, 'A passkey signs you in without password and code: it is both.'),
    list,
    possible && hasPasskeys() ? form : h('p', { class: 'notice' }, why),
    answer,
  );
}
