/** The form of a target. Its certificate is fetched and shown before it is pinned. */

import type { RestAnswer, RestBody } from '@lucid-sessions/contract/rest-client';
import { type Role, roles } from '@lucid-sessions/contract/roles';
import type { Facts } from '../api/types.ts';
import { act, answerPlace } from './act.ts';
import { type Child, fill, h } from './dom.ts';
import { failure, type PageContext, warning } from './page.ts';
import { facts, instant } from './parts.ts';
import { choices, roleName } from './role-words.ts';
import {
  aboutFields,
  addressCard,
  channelsCard,
  field,
  fieldProblems,
  input,
  logonCard,
  readForm,
  recordingCard,
  screensCard,
} from './session-form.ts';

export type Target = RestAnswer<'getTarget'>;

function sha256Lines(sha256: string): string {
  return (sha256.match(/.{2}/g) ?? []).join(':').toUpperCase();
}

/** Asks the host, shows what it answers, and takes its certificate as the pin when that is said. */
function certificateCheck({ api }: PageContext, form: () => HTMLFormElement): Child {
  const place = answerPlace();
  const button = h('button', { type: 'button' }, 'Fetch its certificate');
  async function check(): Promise<void> {
    const data = new FormData(form());
    const body = {
      host: String(data.get('host') ?? '').trim(),
      port: Number(data.get('port') ?? 3389),
      legacy_tls: data.has('legacy_tls'),
    };
    const { certificate, message, address } = await api.rest.checkTarget({ body });
    if (certificate === null) return fill(place, warning(message));
    const take = h('button', { type: 'button', class: 'primary' }, 'This is the certificate: pin it');
    take.addEventListener('click', () => {
      setValue(form(), 'pinned_sha256', certificate.sha256);
      fill(place, h('div', { class: 'notice good' }, h('div', {}, 'Pinned: no other certificate is accepted.')));
    });
    fill(
      place,
      h('p', {}, `${message}.`),
      facts([
        ['SHA-256', h('span', { class: 'mono fingerprint' }, sha256Lines(certificate.sha256))],
        ['Subject', certificate.subject],
        ['Issuer', certificate.issuer],
        ['Valid', [instant(certificate.valid_from), ' to ', instant(certificate.valid_to)]],
        ['TLS', certificate.tls],
        ['Reached at', address],
      ]),
      h('p', { class: 'muted' }, 'Compare it with what the host itself says before you pin it.'),
      h('div', { class: 'actions' }, take),
    );
  }
  button.addEventListener('click', () => void act(api, button, place, check));
  return [h('div', { class: 'actions' }, button), place];
}

function setValue(form: HTMLFormElement, name: string, value: string | number | boolean): void {
  const control = form.elements.namedItem(name);
  if (control instanceof HTMLInputElement && control.type === 'checkbox') control.checked = value === true;
  else if (
    control instanceof HTMLInputElement ||
    control instanceof HTMLSelectElement ||
    control instanceof HTMLTextAreaElement
  )
    control.value = String(value);
}

function show(form: HTMLFormElement, target: Target): void {
  const { rdp_config: rdp, recording_config: recording, storage_config: storage, metadata } = target;
  const consent = recording.consent_text;
  const values: Record<string, string | number | boolean | null | undefined> = {
    name: target.name,
    description: target.description,
    project: metadata.project,
    environment: metadata.environment,
    owner: metadata.owner,
    tags: metadata.tags?.join(', '),
    host: rdp.host,
    port: rdp.port,
    username: rdp.username,
    domain: rdp.domain,
    ignore_cert: rdp.ignore_cert,
    legacy_tls: rdp.legacy_tls,
    pinned_sha256: rdp.pinned_sha256,
    uncompressed: rdp.bulk_compression === false,
    clipboard: rdp.channels?.clipboard,
    clipboard_files: rdp.channels?.clipboard_files,
    consent: consent === null ? 'none' : consent === undefined ? '' : 'own',
    consent_text: consent,
    approval: recording.approval === undefined ? '' : recording.approval ? 'yes' : 'no',
    join: recording.join,
    persistence: recording.persistence,
    graphics: recording.graphics,
    retention_days: storage.retention_days,
  };
  for (const [name, value] of Object.entries(rdp.channels ?? {})) if (value === false) values[`no_${name}`] = true;
  for (const [name, value] of Object.entries(values))
    if (value !== undefined && value !== null) setValue(form, name, value);
}

/** What the form says; of a target that is changed, what it has no field for stays. */
function bodyOf(form: HTMLFormElement, target: Target | null): Facts {
  const said = readForm(new FormData(form)) as Record<string, Facts | undefined> & { name: string };
  if (target === null) return said;
  const { rdp_config: rdp, recording_config: recording, storage_config: storage } = target;
  const named = { allow: rdp.channels?.allow, deny: rdp.channels?.deny };
  const channels =
    rdp.channels?.allow || rdp.channels?.deny ? { ...named, ...(said.rdp_config?.channels ?? {}) } : undefined;
  const { consent_text: _1, approval: _2, join: _3, ...otherRecording } = recording;
  const { channels: _4, legacy_tls: _5, bulk_compression: _6, ...otherRdp } = rdp;
  const days = said.storage_config?.retention_days;
  const keptForever = storage.retention_days === null ? null : undefined;
  return {
    ...said,
    description: said.description ?? null,
    rdp_config: { ...otherRdp, ...(channels === undefined ? {} : { channels }), ...said.rdp_config },
    recording_config: { ...otherRecording, ...said.recording_config },
    storage_config: { ...storage, retention_days: days ?? keptForever },
  };
}

const keep = ['keep', 'As it is'] as const;

export function targetForm(context: PageContext, target: Target | null, close: (said: Child) => void): HTMLElement {
  const { api } = context;
  const answer = answerPlace();
  const save = h('button', { class: 'primary', type: 'submit' }, target === null ? 'Make the target' : 'Save');
  const { connect } = target ?? { connect: null };
  const roleBoxes = choices<Role>(
    'connect-role',
    'Roles that may connect',
    roles.map((role) => ({ value: role, label: roleName(role), checked: connect?.roles.includes(role) ?? false })),
  );
  const form: HTMLFormElement = h(
    'form',
    { class: 'form', 'aria-labelledby': 'target-title' },
    h(
      'div',
      { class: 'card' },
      h('h2', { id: 'target-title', tabindex: -1 }, target === null ? 'New target' : `Change ${target.name}`),
      aboutFields(100),
      field('Labels', input('tags', { placeholder: 'production, vendor' }), 'Up to ten, with commas between.'),
    ),
    addressCard(certificateCheck(context, () => form)),
    h(
      'div',
      { class: 'card' },
      h('h2', {}, 'Who may connect'),
      h('p', { class: 'muted' }, 'Nobody named: those who may make sessions.'),
      roleBoxes.element,
      field('People', input('connect_users', { maxlength: 4000, placeholder: 'ada, zoe' }), 'User names, with commas.'),
    ),
    logonCard(target === null ? [] : [keep]),
    channelsCard(),
    screensCard(),
    recordingCard(),
    answer,
    h('div', { class: 'actions' }, save, h('button', { type: 'button', on: { click: () => close(null) } }, 'Cancel')),
  );
  if (target !== null) {
    show(form, target);
    setValue(form, 'connect_users', connect?.users.join(', ') ?? '');
  }

  function whole(): Facts {
    const data = new FormData(form);
    const users = String(data.get('connect_users') ?? '')
      .split(',')
      .map((user) => user.trim())
      .filter((user) => user !== '');
    const chosen = roleBoxes.chosen();
    return {
      ...bodyOf(form, target),
      connect: users.length + chosen.length === 0 ? null : { roles: chosen, users },
    };
  }
  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    save.disabled = true;
    try {
      const body = whole();
      if (target === null) await api.rest.createTarget({ body: body as RestBody<'createTarget'> });
      else {
        const credentials = new FormData(form).get('credentials');
        const nobody = credentials === '' ? { target_credentials: null } : {};
        await api.rest.updateTarget({
          params: { target_id: target.target_id },
          body: { ...body, ...nobody, version: target.version } as RestBody<'updateTarget'>,
        });
      }
      close(`${String(body.name)}: ${target === null ? 'made' : 'saved'}.`);
    } catch (error) {
      fill(answer, failure(error), fieldProblems(error));
    } finally {
      save.disabled = false;
    }
  }
  form.addEventListener('submit', (event) => void submit(event));
  return form;
}
