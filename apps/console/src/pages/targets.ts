/** Hosts people connect to: connect, and for those who may, make and change them. */
import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import { may } from '../api/credentials.ts';
import { act, answerPlace, askFirst, doneNotice, sayFailure } from '../ui/act.ts';
import { type Child, fill, h } from '../ui/dom.ts';
import { icon } from '../ui/icons.ts';
import type { Page, PageContext } from '../ui/page.ts';
import { facts, instant } from '../ui/parts.ts';
import { roleName } from '../ui/role-words.ts';
import { navigate } from '../ui/router.ts';
import { type Target, targetForm } from '../ui/target-form.ts';

const typingPauseMs = 250;

const addressOf = ({ rdp_config: { host, port } }: Target): string =>
  `${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}${port === 3389 ? '' : `:${port}`}`;

function certificateWords({ rdp_config: rdp }: Target): string {
  if (rdp.pinned_sha256) return `pinned: ${rdp.pinned_sha256}`;
  return rdp.ignore_cert ? 'any is accepted' : 'by the authorities this installation trusts';
}

function logonWords({ credentials }: Target): string {
  switch (credentials.source) {
    case 'none':
      return 'the user, at its own screen';
    case 'client':
      return 'the user, with what the client sends';
    case 'injected':
      return `the gateway, as ${[credentials.domain, credentials.username].filter(Boolean).join('\\')}`;
    case 'vault':
      return `the gateway, with ${credentials.engine} ${credentials.mount}/${credentials.path} from Vault`;
  }
}

function connectWords({ connect }: Target): string {
  if (connect === null) return 'those who may make sessions';
  return [...connect.roles.map(roleName), ...connect.users].join(', ') || 'nobody';
}

function policyWords({ recording_config: recording, storage_config: storage, rdp_config: rdp }: Target): string {
  const { retention_days: days } = storage;
  return [
    recording.approval === true && 'a second person lets clients in',
    recording.consent_text && 'a text to acknowledge',
    recording.viewing && recording.viewing !== 'open' && `seen with ${recording.viewing}`,
    recording.graphics === 'classic' && 'classic graphics',
    rdp.channels && 'channels restricted',
    days !== undefined && (days === null ? 'kept until deleted' : `kept for ${days} days`),
  ]
    .filter(Boolean)
    .join(', ');
}

function targetCard(context: PageContext, first: Target, edit: (target: Target) => void): HTMLElement {
  const { api, claims, signal } = context;
  const answer = answerPlace();
  const element = h('section', { class: 'card', 'aria-label': first.name });
  const params = { target_id: first.target_id };
  const button = (label: string, work: () => Promise<void>, tone = ''): HTMLButtonElement => {
    const made = h('button', { type: 'button', class: tone, 'aria-label': `${label}: ${first.name}` }, label);
    made.addEventListener('click', () => void act(api, made, answer, work));
    return made;
  };
  const session = (): Promise<RestAnswer<'createSession'>> =>
    api.rest.createSession({ body: { target_id: first.target_id } });
  const connect = async (): Promise<void> => location.assign(`/sessions/${(await session()).session_id}/connect`);
  const prepare = async (): Promise<void> => navigate(`/sessions/${(await session()).session_id}`);
  const remove = (): void =>
    askFirst(
      api,
      {
        title: `Remove ${first.name}?`,
        consequence: 'Its credentials are forgotten. Sessions that were made with it stay as they are.',
        action: 'Remove',
        work: async () => {
          await api.rest.removeTarget({ params, query: { version: first.version } });
          element.remove();
        },
      },
      signal,
    );
  const { metadata } = first;
  fill(
    element,
    h(
      'div',
      { class: 'heading' },
      h('h2', { class: 'grow' }, first.name),
      first.may_connect && button('Connect', connect, 'primary'),
      first.may_connect && button('Connect by a client', prepare),
    ),
    first.description && h('p', {}, first.description),
    facts([
      ['Address', h('span', { class: 'mono' }, addressOf(first))],
      ['Certificate', h('span', { class: 'mono' }, certificateWords(first))],
      ['Who logs on', logonWords(first)],
      ['Who may connect', connectWords(first)],
      ['Policy', policyWords(first)],
      ['Project', [metadata.project, metadata.environment].filter(Boolean).join(' · ')],
      [
        'Labels',
        metadata.tags?.length
          ? h(
              'div',
              { class: 'tags' },
              metadata.tags.map((tag) => h('span', { class: 'tag' }, tag)),
            )
          : null,
      ],
      ['Changed', [instant(first.changed_at), ` by ${first.changed_by}, version ${first.version}`]],
    ]),
    may(claims, 'targets:manage') &&
      h(
        'div',
        { class: 'actions' },
        button('Change', async () => edit(first)),
        h(
          'button',
          { type: 'button', class: 'danger', 'aria-label': `Remove: ${first.name}`, on: { click: remove } },
          'Remove',
        ),
      ),
    answer,
  );
  return element;
}

export function targetsPage(context: PageContext): Page {
  const { api, claims, signal } = context;
  const list = h('div', { class: 'steps' });
  const editor = h('div', {});
  const problem = answerPlace();
  const note = h('p', { class: 'muted' });
  const more = h('button', { type: 'button' }, 'Show more');
  more.hidden = true;
  let after = '';
  let search = '';

  async function load(): Promise<void> {
    const asked = search;
    const { targets, next, free_addresses } = await api.rest.listTargets({
      query: { limit: 50, ...(after === '' ? {} : { after }), ...(search === '' ? {} : { search }) },
      signal,
    });
    if (asked !== search) return;
    fill(
      note,
      free_addresses
        ? 'Hosts with their certificate, logon and policy. Sessions may lead to other addresses too.'
        : 'Hosts with their certificate, logon and policy. Sessions lead to these alone.',
    );
    list.append(...targets.map((target) => targetCard(context, target, edit)));
    if (list.childElementCount === 0)
      fill(
        list,
        h('div', { class: 'card empty' }, icon('screen'), search === '' ? 'No targets.' : 'No target matches.'),
      );
    after = next ?? '';
    more.hidden = next === null;
  }
  async function again(): Promise<void> {
    after = '';
    fill(list);
    await load();
  }
  const failed = (error: unknown): void => sayFailure(api, problem, error);

  function edit(target: Target | null): void {
    const close = (said: Child): void => {
      fill(editor, said && doneNotice(said));
      void again().catch(failed);
    };
    fill(editor, targetForm(context, target, close));
    editor.querySelector<HTMLElement>('h2')?.focus();
  }

  let timer: ReturnType<typeof setTimeout> | undefined;
  const typed = (event: Event): void => {
    clearTimeout(timer);
    search = (event.target as HTMLInputElement).value.trim();
    timer = setTimeout(() => !signal.aborted && void again().catch(failed), typingPauseMs);
  };
  more.addEventListener('click', () => void act(api, more, problem, load));
  void load().catch(failed);
  const content: Child = [
    h(
      'div',
      { class: 'heading' },
      h('div', { class: 'grow' }, h('h1', {}, 'Targets'), note),
      may(claims, 'targets:manage') &&
        h('button', { type: 'button', class: 'primary', on: { click: () => edit(null) } }, icon('plus'), 'New target'),
    ),
    h(
      'div',
      { class: 'search', role: 'search' },
      icon('search'),
      h('input', {
        type: 'search',
        'aria-label': 'Search targets by name, host, project or label',
        placeholder: 'Search name, host, project, label',
        maxlength: 200,
        on: { input: typed },
      }),
    ),
    editor,
    h('div', { class: 'form account' }, list, problem, h('div', { class: 'pages' }, more)),
  ];
  return { title: 'Targets', content };
}
