import { type ApiClient, ApiError } from '../api/client.ts';
import { type Claims, claimsOf } from '../api/credentials.ts';
import { act } from '../ui/act.ts';
import { brand } from '../ui/brand.ts';
import { fill, h } from '../ui/dom.ts';
import { icon } from '../ui/icons.ts';
import { failure, type Page } from '../ui/page.ts';
import { askPasskey, hasPasskeys } from '../ui/passkey.ts';

type Ways = Awaited<ReturnType<ApiClient['rest']['signInWays']>>;

export const field = (label: string, input: HTMLInputElement, hint?: string): HTMLElement =>
  h(
    'div',
    { class: 'field' },
    h('label', { for: input.id }, label),
    input,
    hint !== undefined && h('small', { id: `${input.id}-hint` }, hint),
  );

/** Whoever signs in to see the page that was asked for. `reason`: why they have to. */
export function signInPage(api: ApiClient, reason: string | null, signedIn: (claims: Claims) => void): Page {
  const name = h('input', {
    id: 'user',
    name: 'username',
    required: true,
    autocomplete: 'username',
    autocapitalize: 'off',
    spellcheck: 'false',
  });
  const password = h('input', {
    id: 'password',
    name: 'password',
    type: 'password',
    required: true,
    autocomplete: 'current-password',
  });
  const code = h('input', {
    id: 'code',
    name: 'code',
    autocomplete: 'one-time-code',
    autocapitalize: 'off',
    spellcheck: 'false',
    'aria-describedby': 'code-hint',
  });
  const codeField = field('Code', code, 'Of your authenticator app; or one of your recovery codes.');
  codeField.hidden = true;
  const answer = h('div', { 'aria-live': 'polite' });
  const button = h('button', { class: 'primary', type: 'submit' }, 'Sign in');
  const others = h('div', { class: 'other-ways' });
  if (reason) fill(answer, h('p', { class: 'notice' }, reason));

  async function trying(work: () => Promise<Claims>): Promise<void> {
    button.disabled = true;
    fill(answer);
    try {
      signedIn(await work());
    } catch (error) {
      const wantsCode =
        error instanceof ApiError && (error.details as { second_factor?: boolean } | null)?.second_factor === true;
      const isFirstAsk = wantsCode && codeField.hidden;
      if (wantsCode) {
        codeField.hidden = false;
        code.required = true;
        code.select();
        code.focus();
      } else name.focus();
      fill(answer, isFirstAsk ? h('p', { class: 'notice' }, 'Your password is right. Now the code.') : failure(error));
    } finally {
      button.disabled = false;
    }
  }

  const byPassword = async (): Promise<Claims> => {
    const given = code.value.trim();
    const body = { user_id: name.value, password: password.value, ...(given === '' ? {} : { code: given }) };
    return claimsOf(await api.rest.signIn({ body }));
  };
  const providerButton = ({ provider_id, name: providerName }: Ways['providers'][number]): HTMLButtonElement => {
    const go = h('button', { type: 'button', class: 'primary' }, `Sign in with ${providerName}`);
    const leave = async (): Promise<void> => {
      const body = { return_to: location.pathname + location.search };
      const { url } = await api.rest.startOidc({ params: { provider_id }, body });
      location.assign(url);
    };
    go.addEventListener('click', () => void act(api, go, answer, leave));
    return go;
  };
  const byPasskey = async (): Promise<Claims> => {
    const { challenge_id, options } = await api.rest.passkeyChallenge();
    return claimsOf(await api.rest.passkeySignIn({ body: { challenge_id, response: await askPasskey(options) } }));
  };

  function offer(ways: Ways): void {
    const passkey = h('button', { type: 'button' }, icon('key'), 'Use a passkey');
    passkey.addEventListener('click', () => void trying(byPasskey));
    fill(others, ways.providers.map(providerButton), ways.passkey && hasPasskeys() && passkey);
    for (const part of [...local, button]) part.hidden = !ways.password;
    if (!ways.has_accounts && ways.providers.length === 0)
      fill(
        answer,
        h(
          'p',
          { class: 'notice' },
          'Nobody has an account here yet. On the machine of the gateway, “lucid-sessions users setup” gives a link for the first one.',
        ),
      );
  }
  // Without them the form is there all the same.
  void api.rest.signInWays().then(offer, () => {});

  const local = [field('User name', name), field('Password', password)];
  const submit = (event: Event): void => {
    event.preventDefault();
    void trying(byPassword);
  };
  const form = h(
    'form',
    { class: 'card sign-in', on: { submit } },
    brand(),
    h('h1', {}, 'Sign in'),
    local,
    codeField,
    answer,
    button,
    others,
  );
  return { title: 'Sign in', content: form };
}
