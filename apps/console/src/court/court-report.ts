/** The report of a court file, for the screen and for paper. */
import {
  type CourtFileFacts,
  existedText,
  type Finding,
  findingMeanings,
  replayText,
  type Verdicts,
  type VerificationReport,
  verdictSentences,
} from '@lucid-sessions/evidence';
import { type Child, fill, h } from '../ui/dom.ts';
import { formatBytes } from '../ui/format.ts';
import { custodyForm, hashForm } from './forms.ts';
import { fileInput } from './inputs.ts';
import type { CourtFacts } from './protocol.ts';
import { findingsOf, timeText, toneOf } from './words.ts';

const questions: readonly (keyof Verdicts)[] = ['integrity', 'completeness', 'origin', 'time', 'readability', 'replay'];

const meaningOf: Record<keyof Verdicts, string> = {
  integrity: 'Was anything changed since it was sealed?',
  completeness: 'Is anything missing?',
  origin: 'Who made it?',
  time: 'What vouches for when?',
  readability: 'Do its contents decrypt?',
  replay: 'Can all of it be seen?',
};

const row = (name: string, ...value: Child[]): HTMLElement =>
  h('tr', {}, h('th', { scope: 'row' }, name), h('td', {}, ...value));
const table = (head: string[], rows: HTMLElement[]): HTMLElement =>
  h(
    'div',
    { class: 'wide' },
    h(
      'table',
      {},
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          head.map((name) => h('th', { scope: 'col' }, name)),
        ),
      ),
      h('tbody', {}, rows),
    ),
  );
const cells = (...values: Child[]): HTMLElement =>
  h(
    'tr',
    {},
    values.map((value) => h('td', {}, value)),
  );
const hash = (text: string | null): Child => (text === null ? 'not known' : h('code', { class: 'hash' }, text));

function sentenceOf(question: keyof Verdicts, { verdicts, facts }: VerificationReport, hasPolicy: boolean): string {
  if (question === 'origin' && verdicts.origin === 'untrusted' && !hasPolicy)
    return 'not checked: you have given no policy';
  if (question === 'replay') return replayText(verdicts.replay, facts.replay);
  const sentences = verdictSentences[question] as Record<string, string>;
  return sentences[verdicts[question]] ?? verdicts[question];
}

export class CourtReport {
  readonly element = h('div', { class: 'report' });
  readonly #facts: CourtFileFacts | null;
  readonly #saveEvidence: () => void;
  readonly #documentSha256 = h('output', { class: 'hash' });

  constructor(facts: CourtFileFacts | null, saveEvidence: () => void) {
    this.#facts = facts;
    this.#saveEvidence = saveEvidence;
  }

  /** The document can't read itself from a disk: its reader hands it over. */
  async digestDocument(file: File): Promise<void> {
    this.#documentSha256.textContent = 'computing…';
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()));
    this.#documentSha256.textContent = [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  show(report: VerificationReport, facts: CourtFacts, policyName: string | null): void {
    fill(
      this.element,
      this.#verdicts(report, policyName),
      findings(findingsOf(report, policyName !== null)),
      recording(report, facts, this.#facts),
      custody(facts),
      this.#digests(facts, report),
      hashForm({ facts, report, policyName, documentSha256: this.#documentSha256 }),
      custodyForm(facts),
      limits(),
    );
  }

  #verdicts(report: VerificationReport, policyName: string | null): HTMLElement {
    const hasPolicy = policyName !== null;
    return h(
      'section',
      { class: 'card' },
      h(
        'div',
        { class: 'title' },
        h('h2', {}, 'Six answers'),
        h('button', { type: 'button', class: 'no-print', on: { click: () => print() } }, 'Print the report'),
      ),
      h(
        'p',
        { class: 'muted' },
        hasPolicy
          ? `Checked by this document on the spot, against ${policyName}.`
          : 'Checked by this document on the spot, without a policy: what the file itself shows, and nothing about who and when.',
      ),
      h(
        'ul',
        { class: 'verdicts' },
        questions.map((question) =>
          h(
            'li',
            { class: toneOf(question, report.verdicts[question], hasPolicy), 'data-verdict': question },
            h('span', { class: 'question' }, `${question}: `, h('em', {}, meaningOf[question])),
            h('strong', {}, sentenceOf(question, report, hasPolicy)),
          ),
        ),
      ),
    );
  }

  #digests(facts: CourtFacts, { facts: { merkle_root: root } }: VerificationReport): HTMLElement {
    return h(
      'section',
      { class: 'card' },
      h('h2', {}, 'Digests'),
      h(
        'p',
        {},
        'SHA-256. That of this document is told by whoever made it, by another way than this file: compare it before you believe what this page says, since who can alter the file can alter its program. ',
        h('code', {}, 'sha256sum FILE'),
        ' computes it, or choose the file here:',
      ),
      h(
        'div',
        { class: 'no-print' },
        fileInput('This document', '.html', (file) => this.digestDocument(file)),
      ),
      h(
        'table',
        { class: 'told' },
        h(
          'tbody',
          {},
          row('This document', this.#documentSha256),
          row('Merkle root', hash(root)),
          row('bundle.json', hash(facts.bundleSha256)),
          row('open record', hash(facts.openSha256)),
          row('manifest record', hash(facts.manifestSha256)),
        ),
      ),
      h(
        'details',
        {},
        h('summary', {}, `Every file of the evidence (${facts.files.length}); open to print`),
        table(
          ['file', 'bytes', 'SHA-256'],
          facts.files.map(({ name, bytes, sha256 }) => cells(h('code', {}, name), bytes, hash(sha256))),
        ),
      ),
      h(
        'p',
        { class: 'no-print' },
        h('button', { type: 'button', on: { click: this.#saveEvidence } }, 'Save the evidence bundle'),
        ' to check it with a verifier of your own (docs/format.md).',
      ),
    );
  }
}

function findings(list: readonly Finding[]): Child {
  if (list.length === 0) return null;
  return h(
    'section',
    { class: 'card' },
    h('h2', {}, `Findings (${list.length})`),
    table(
      ['code', 'check', 'what', 'where'],
      list.map(({ code, check, message, file }) =>
        cells(
          h('code', {}, code),
          check,
          `${message} (${findingMeanings[code]})`,
          file === null ? '' : h('code', {}, file),
        ),
      ),
    ),
  );
}

function recording(report: VerificationReport, facts: CourtFacts, made: CourtFileFacts | null): HTMLElement {
  const { facts: told, states } = report;
  const offset = facts.clock?.offsetUs ?? null;
  return h(
    'section',
    { class: 'card' },
    h('h2', {}, told.imported === null ? 'Recording' : 'Recording (imported from a file: its contents prove nothing)'),
    h(
      'table',
      { class: 'told' },
      h(
        'tbody',
        {},
        row('Session', h('code', {}, report.session_id ?? 'not known')),
        row(
          'Recorded',
          `${timeText(told.opened_us)} to ${timeText(told.ended_us)}${told.end_reason === null ? '' : ` (${told.end_reason})`}`,
        ),
        row('Existed', existedText(told, timeText)),
        row('Recorder', facts.recorder === null ? 'not known' : `${facts.recorder.id}, ${facts.recorder.software}`),
        row('Recorder’s key', h('code', {}, facts.recorder?.identityKey ?? 'not known')),
        row(
          'Clock',
          facts.clock === null
            ? 'not known'
            : `${facts.clock.source}; offset ${offset === null ? 'not measured' : `${offset} µs`}`,
        ),
        row('Target', facts.target ?? 'not known', facts.targetUser === null ? '' : ` as ${facts.targetUser}`),
        row('Session made by', facts.createdBy ?? 'not known'),
        facts.connections.map(({ atUs, client, target }) =>
          row('Connection', `${timeText(atUs)}: ${client} to ${target}`),
        ),
        row(
          'Chunks',
          `${told.chunks_checked} checked, ${told.chunks_read} read, ${told.chunks_in_manifest ?? '?'} in the manifest, ${formatBytes(told.total_bytes)}`,
        ),
        facts.gaps.map(({ fromUs, toUs, reason, framesLost }) =>
          row('Gap', `${timeText(fromUs)} to ${timeText(toUs)}: ${reason}, ${framesLost} frames lost`),
        ),
        told.downgrades.map((what) => row('Downgrade', what)),
        states.length > 0 && row('States', states.join(', ')),
        row(
          'Exported',
          facts.exported === null ? 'not known' : `${timeText(facts.exported.atUs)} by ${facts.exported.by}`,
        ),
        made !== null && row('Court file made', `${timeText(made.made_us)} by ${made.software}`),
        made !== null &&
          row(
            'View key',
            made.view_key === null ? 'not in this file' : 'in this file: whoever has the file can see the recording',
          ),
      ),
    ),
    h(
      'p',
      { class: 'muted' },
      'Who sat at the client is not known to a gateway: what ties this to a person is what the recording shows and the records of the host.',
    ),
  );
}

function custody({ custody: lines }: CourtFacts): HTMLElement {
  return h(
    'section',
    { class: 'card' },
    h('h2', {}, 'Custody inside the installation'),
    h(
      'p',
      { class: 'muted' },
      'Signed and chained records of who looked at, verified and exported the recording, up to this export.',
    ),
    lines.length === 0
      ? h('p', {}, 'None.')
      : table(
          ['no.', 'when (UTC)', 'what', 'who', 'detail'],
          lines.map(({ sequence, atUs, action, actor, detail }) =>
            cells(sequence, timeText(atUs), action, actor, detail),
          ),
        ),
  );
}

const limits = (): HTMLElement =>
  h(
    'section',
    { class: 'card small' },
    h('h2', {}, 'What this does not show'),
    h(
      'p',
      {},
      'A recorder that was compromised while it recorded can have recorded anything. Times are the recorder’s own but where a witness, a timestamp or an anchor bounds them. Receipts that need a network to be asked about are not asked about here. A document checks what it carries, never itself.',
    ),
  );
