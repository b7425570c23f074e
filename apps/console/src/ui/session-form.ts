/** The fields a session is made of, as the forms of sessions and of targets have them. */
import { type ChannelSwitch, channelSwitches, consentTextMax } from '@lucid-sessions/contract/recording-limits';
import { ApiError } from '../api/client.ts';
import type { Facts } from '../api/types.ts';
import { type Child, h } from './dom.ts';

type Control = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

export function field(label: string, control: Control, hint?: string): HTMLElement {
  const id = `field-${control.name}`;
  control.id = id;
  if (hint) control.setAttribute('aria-describedby', `${id}-hint`);
  return h(
    'div',
    { class: 'field' },
    h('label', { for: id }, label),
    control,
    hint && h('small', { id: `${id}-hint` }, hint),
  );
}

export const input = (name: string, attributes: Record<string, string | number | boolean> = {}): HTMLInputElement =>
  h('input', { name, type: 'text', autocomplete: 'off', ...attributes });

export const choice = (name: string, options: readonly (readonly [string, string])[]): HTMLSelectElement =>
  h(
    'select',
    { name },
    options.map(([value, text]) => h('option', { value }, text)),
  );

export const check = (name: string, text: string, checked: boolean): HTMLElement =>
  h('label', { class: 'check' }, h('input', { type: 'checkbox', name, checked }), text);

/** Name, description and whose it is, of a session as of a target. */
export const aboutFields = (nameMax: number): Child[] => [
  field('Name', input('name', { required: true, maxlength: nameMax })),
  field('Description', h('textarea', { name: 'description', maxlength: 500, rows: 2 })),
  h(
    'div',
    { class: 'row' },
    field('Project', input('project', { maxlength: 100 })),
    field('Environment', input('environment', { maxlength: 50 })),
    field('Owner', input('owner', { maxlength: 100 })),
  ),
];

/** `more`: beside its fields. */
export function addressCard(more: Child = null): Child {
  return h(
    'div',
    { class: 'card' },
    h('h2', {}, 'Target'),
    h(
      'div',
      { class: 'row' },
      field('Host', input('host', { required: true, maxlength: 255, placeholder: 'srv-01.example.net' })),
      field('Port', input('port', { type: 'number', min: 1, max: 65535, value: 3389, required: true })),
    ),
    h(
      'div',
      { class: 'row' },
      field('User name', input('username', { maxlength: 255 })),
      field('Domain', input('domain', { maxlength: 255 })),
    ),
    more,
    check('ignore_cert', 'Accept any certificate of the target (recorded as a fact in the manifest)', false),
    check(
      'legacy_tls',
      'Accept TLS 1.0, TLS 1.1 and weak ciphers of the target (recorded as a downgrade in the manifest)',
      false,
    ),
    field(
      'Certificate',
      input('pinned_sha256', {
        pattern: '[0-9A-Fa-f]{64}|[0-9A-Fa-f]{2}([: ][0-9A-Fa-f]{2}){31}',
        placeholder: '64 hex digits',
        spellcheck: 'false',
      }),
      'SHA-256 of the certificate to trust, when no authority signed it.',
    ),
    check(
      'uncompressed',
      'No RDP compression between client and target: smaller recordings, for fast networks (recorded as a downgrade)',
      false,
    ),
  );
}

const logons: readonly (readonly [string, string])[] = [
  ['', 'The user, at the target’s own screen'],
  ['client', 'The user, with what the client sends (network level authentication too)'],
  ['injected', 'The gateway, with the password below'],
  ['vault', 'The gateway, with a secret from Vault'],
];

/** `more`: choices before those of a new session. */
export function logonCard(more: readonly (readonly [string, string])[] = []): Child {
  return h(
    'div',
    { class: 'card' },
    h('h2', {}, 'Logon to the target'),
    field(
      'Who logs on',
      choice('credentials', more.concat(logons)),
      'What the gateway logs on with is never shown again, to nobody. User name and domain are those of the target above.',
    ),
    h(
      'div',
      { class: 'row' },
      field('Password', input('target_password', { type: 'password', maxlength: 255, autocomplete: 'new-password' })),
      field(
        'Path in Vault',
        input('target_vault', { maxlength: 400, placeholder: 'secret/rdp/srv-01', spellcheck: 'false' }),
        'Where the engine is mounted, then the secret or role.',
      ),
    ),
    check('target_dynamic', 'In Vault it is a role that makes credentials for this session', false),
    check('target_once', 'Forget it when the first connection is recorded (a lost connection ends the session)', false),
  );
}

export function recordingCard(): Child {
  return h(
    'div',
    { class: 'card' },
    h('h2', {}, 'Recording'),
    h(
      'div',
      { class: 'row' },
      field(
        'When it can’t be stored',
        choice('persistence', [
          ['strict', 'End the session (strict)'],
          ['best_effort', 'Go on, record the gap'],
        ]),
      ),
      field(
        'Graphics',
        choice('graphics', [
          ['passthrough', 'As client and server agree'],
          ['classic', 'Classic bitmaps only'],
        ]),
      ),
      field(
        'Keep for (days)',
        input('retention_days', { type: 'number', min: 1, max: 36_500 }),
        'Empty: as this installation is set, until deleted if nothing is.',
      ),
    ),
  );
}

const ways: readonly (readonly [string, string])[] = [
  ['', 'As this installation is set'],
  ['both', 'Both ways'],
  ['in', 'Into the session only'],
  ['out', 'Out of the session only'],
  ['off', 'Off'],
];
const switchNames: { readonly [N in ChannelSwitch]: string } = {
  drives: 'Drives',
  printers: 'Printers',
  ports: 'Serial and parallel ports',
  smart_cards: 'Smart cards',
  audio: 'Sound',
  microphone: 'Microphone',
  camera: 'Camera',
  usb: 'USB devices',
  location: 'Location',
  others: 'Channels of unknown use',
};

export function channelsCard(): Child {
  return h(
    'div',
    { class: 'card' },
    h('h2', {}, 'What may cross'),
    h(
      'p',
      { class: 'muted' },
      'Beside screen and input. What is refused is a fact in the manifest. Left alone, it is as this installation is set.',
    ),
    h(
      'div',
      { class: 'row' },
      field('Clipboard', choice('clipboard', ways)),
      field('Files on the clipboard', choice('clipboard_files', ways)),
    ),
    h(
      'fieldset',
      {},
      h('legend', {}, 'Not allowed'),
      channelSwitches.map((name) => check(`no_${name}`, switchNames[name], false)),
    ),
  );
}

const asInstalled = ['', 'As this installation is set'] as const;

export function screensCard(): Child {
  return h(
    'div',
    { class: 'card' },
    h('h2', {}, 'Before it begins'),
    h(
      'div',
      { class: 'row' },
      field(
        'Text to acknowledge',
        choice('consent', [asInstalled, ['own', 'The text below'], ['none', 'None']]),
        'Shown to the user in the RDP client. That it was acknowledged is a fact in the manifest.',
      ),
      field(
        'A second person lets the client in',
        choice('approval', [asInstalled, ['yes', 'Yes'], ['no', 'No']]),
        'While the client waits, somebody else approves it, or not, with a reason.',
      ),
    ),
    field(
      'Taking it over while it runs',
      choice('join', [asInstalled, ['ask', 'When its user agrees'], ['unasked', 'Without asking'], ['off', 'Nobody']]),
    ),
    field('Text', h('textarea', { name: 'consent_text', maxlength: consentTextMax, rows: 3 })),
  );
}

/** What is left to the installation is absent. */
function screensOf(data: FormData): Facts {
  const approval = data.get('approval');
  const consent = data.get('consent');
  const text = String(data.get('consent_text') ?? '').trim();
  return {
    ...(consent === 'none' ? { consent_text: null } : consent === 'own' ? { consent_text: text } : {}),
    ...(approval ? { approval: approval === 'yes' } : {}),
    ...(data.get('join') ? { join: String(data.get('join')) } : {}),
  };
}

function channelsOf(data: FormData): { channels?: Facts } {
  const rules: Facts = {};
  for (const name of ['clipboard', 'clipboard_files']) if (data.get(name)) rules[name] = String(data.get(name));
  for (const name of channelSwitches) if (data.has(`no_${name}`)) rules[name] = false;
  return Object.keys(rules).length === 0 ? {} : { channels: rules };
}

/** The request body; empty fields are left out so that the API's defaults hold. */
export function readForm(data: FormData): Facts {
  const text = (name: string): string | undefined => {
    const value = String(data.get(name) ?? '').trim();
    return value === '' ? undefined : value;
  };
  const number = (name: string): number | undefined => (text(name) === undefined ? undefined : Number(text(name)));
  const tags = text('tags')
    ?.split(',')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '');
  return {
    name: text('name'),
    description: text('description'),
    rdp_config: {
      host: text('host'),
      port: Number(text('port') ?? 3389),
      username: text('username'),
      domain: text('domain'),
      ignore_cert: data.has('ignore_cert'),
      pinned_sha256: text('pinned_sha256')?.replaceAll(/[: ]/g, '').toLowerCase(),
      ...(data.has('legacy_tls') ? { legacy_tls: true } : {}),
      ...(data.has('uncompressed') ? { bulk_compression: false } : {}),
      ...channelsOf(data),
    },
    target_credentials: readCredentials(data),
    recording_config: { persistence: text('persistence'), graphics: text('graphics'), ...screensOf(data) },
    storage_config: { retention_days: number('retention_days') },
    metadata: { project: text('project'), environment: text('environment'), owner: text('owner'), tags },
  };
}

/** Undefined where nobody is named. A password is taken as it stands, blanks included. */
function readCredentials(data: FormData): Facts | undefined {
  const keep = data.has('target_once') ? 'once' : 'session';
  switch (data.get('credentials')) {
    case 'client':
      return { provider: 'client' };
    case 'injected':
      return { password: String(data.get('target_password') ?? ''), keep };
    case 'vault': {
      const [mount = '', ...path] = String(data.get('target_vault') ?? '')
        .trim()
        .split('/');
      const engine = data.has('target_dynamic') ? 'dynamic' : 'kv';
      return { provider: 'vault', engine, mount, path: path.join('/'), keep };
    }
    default:
      return undefined;
  }
}

export function fieldProblems(error: unknown): Child {
  if (!(error instanceof ApiError) || typeof error.details !== 'object' || error.details === null) return null;
  const entries = Object.entries(error.details).filter(([, value]) => typeof value === 'string');
  return (
    entries.length > 0 &&
    h(
      'ul',
      {},
      entries.map(([name, value]) => h('li', {}, `${name}: ${String(value)}`)),
    )
  );
}
