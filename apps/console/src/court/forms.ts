/** Two forms a person fills in and signs: this document certifies nothing by itself. */
import type { VerificationReport } from '@lucid-sessions/evidence';
import { h } from '../ui/dom.ts';
import type { CourtFacts } from './protocol.ts';
import { timeText } from './words.ts';

const field = (label: string, value = ''): HTMLElement =>
  h('label', { class: 'field' }, h('span', {}, label), h('input', { value, autocomplete: 'off' }));
const blankRows = 6;

interface HashFormFacts {
  facts: CourtFacts;
  report: VerificationReport;
  policyName: string | null;
  documentSha256: HTMLElement;
}

/** What a certification of copied data by its hash is asked to say (FRE 902(14)); who signs answers for it. */
export function hashForm({ facts, report, policyName, documentSha256 }: HashFormFacts): HTMLElement {
  const { facts: told } = report;
  const shown = h('input', { readonly: true, value: documentSha256.textContent ?? '' });
  new MutationObserver(() => {
    shown.value = documentSha256.textContent ?? '';
  }).observe(documentSha256, { childList: true, characterData: true, subtree: true });
  return h(
    'section',
    { class: 'card form page-before' },
    h('h2', {}, 'Certification by hash'),
    h(
      'p',
      { class: 'muted' },
      'To be filled in, judged and signed by a qualified person. The values are this document’s; the statement is the person’s.',
    ),
    field('Case or matter'),
    field('Item', `recording of remote desktop session ${report.session_id ?? ''}`),
    field(
      'Made by (system and software)',
      facts.recorder === null ? '' : `${facts.recorder.id}, ${facts.recorder.software}`,
    ),
    field('Recorded', `${timeText(told.opened_us)} to ${timeText(told.ended_us)}`),
    field(
      'Copied (exported) by and on',
      facts.exported === null ? '' : `${facts.exported.by}, ${timeText(facts.exported.atUs)}`,
    ),
    h('label', { class: 'field' }, h('span', {}, 'SHA-256 of this document'), shown),
    field('SHA-256 of bundle.json', facts.bundleSha256 ?? ''),
    field('Merkle root (SHA-256, RFC 9162)', told.merkle_root ?? ''),
    field('Files, bytes', `${facts.files.length}, ${facts.files.reduce((sum, { bytes }) => sum + bytes, 0)}`),
    field('Checked with, against which policy', policyName ?? ''),
    field('Result', report.clean ? 'clean' : `${report.findings_count} findings`),
    field('How the hash was compared, and with what'),
    field('Name, title, organisation'),
    field('Qualification'),
    h('label', { class: 'field' }, h('span', {}, 'Statement'), h('textarea', { rows: 4 })),
    field('Place and date'),
    field('Signature'),
  );
}

/** The way of this copy from hand to hand; the installation's own records stand above. */
export function custodyForm(facts: CourtFacts): HTMLElement {
  const heads = ['no.', 'date and time', 'released by', 'received by', 'purpose', 'SHA-256 compared', 'signatures'];
  const first = facts.exported === null ? ['', ''] : [timeText(facts.exported.atUs), facts.exported.by];
  const rows = Array.from({ length: blankRows }, (_, at) =>
    h(
      'tr',
      {},
      h('td', {}, at + 1),
      heads
        .slice(1)
        .map((name, column) =>
          h('td', {}, h('input', { 'aria-label': `${name} ${at + 1}`, value: at === 0 ? (first[column] ?? '') : '' })),
        ),
    ),
  );
  return h(
    'section',
    { class: 'card form' },
    h('h2', {}, 'Chain of custody of this copy'),
    h(
      'div',
      { class: 'wide' },
      h(
        'table',
        { class: 'custody' },
        h(
          'thead',
          {},
          h(
            'tr',
            {},
            heads.map((name) => h('th', { scope: 'col' }, name)),
          ),
        ),
        h('tbody', {}, rows),
      ),
    ),
  );
}
