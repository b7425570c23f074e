/**
 * The page of a court file: a recording, its verifier and its report in one document, opened from a disk. It asks nothing of a network;
 * whom to trust comes from its reader alone.
 */
import { COURT_EVIDENCE_CLASS, COURT_FACTS_ID, type CourtFileFacts, parseCourtFacts } from '@lucid-sessions/evidence';
import { LucidPlayer } from '../player/page/lucid-player.ts';
import { fill, h } from '../ui/dom.ts';
import { offerDownload } from '../ui/download.ts';
import { CourtReport } from './court-report.ts';
import { bytesOfKey, type Dropped, fileInput, readDropped } from './inputs.ts';
import type { FromCourtWorker, ToCourtWorker } from './protocol.ts';
import { bannerOf, mayPlay, type Tone } from './words.ts';

/** The worker's program, base64: a document opened from a disk has no other place to take it from. */
const PROGRAM_ID = 'court-worker';

const bytesOf = (base64: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

function workerUrl(): string {
  const program = document.getElementById(PROGRAM_ID)?.textContent ?? '';
  return URL.createObjectURL(new Blob([bytesOf(program)], { type: 'text/javascript' }));
}

/** The bundle inside the document; null where it is beside it. Throws where its text is damaged. */
function evidenceInside(): Blob | null {
  const elements = [...document.querySelectorAll(`.${COURT_EVIDENCE_CLASS}`)];
  if (elements.length === 0) return null;
  try {
    return new Blob(elements.map((element) => bytesOf(element.textContent ?? '')));
  } catch {
    throw new Error('the evidence inside it can not be read');
  }
}

function factsInside(): CourtFileFacts | null {
  const text = document.getElementById(COURT_FACTS_ID)?.textContent ?? null;
  return text === null ? null : parseCourtFacts(text);
}

class CourtPage {
  readonly #facts: CourtFileFacts | null;
  readonly #workerUrl = workerUrl();
  readonly #banner = h('p', { class: 'banner', role: 'status' });
  readonly #player = h('section', { class: 'stage-place', 'aria-label': 'Recording' });
  readonly #evidenceAsked = h('section', { class: 'card no-print', hidden: true });
  readonly #keyAsked = h('section', { class: 'card no-print', hidden: true });
  readonly #policyAsked = h('section', { class: 'card no-print' });
  readonly #policyState = h('p', { class: 'policy-state', role: 'status' });
  readonly #report: CourtReport;
  #evidence: Blob | null = null;
  #policy: { name: string; bytes: Uint8Array } | null = null;
  #viewKey: Uint8Array | null;
  #verifier: Worker | null = null;
  #root: string | null = null;
  /** A recording is shown, or its reader was told why not. */
  #played: 'no' | 'refused' | 'yes' = 'no';

  constructor(facts: CourtFileFacts | null) {
    this.#facts = facts;
    this.#viewKey = facts?.view_key == null ? null : bytesOfKey(facts.view_key);
    this.#report = new CourtReport(facts, () => {
      if (this.#evidence !== null) offerDownload(this.#evidence, `${facts?.session_id ?? 'evidence'}.lucid.tar`);
    });
    Reflect.set(globalThis, 'lucidWorkerUrl', this.#workerUrl);
  }

  show(): void {
    const name = this.#facts?.session_id ?? 'no recording yet';
    document.title = `${name} · court file`;
    fill(
      document.body,
      h(
        'main',
        { class: 'court' },
        h('header', {}, h('h1', {}, 'Recording ', h('code', {}, name)), this.#banner),
        this.#evidenceAsked,
        this.#keyAsked,
        this.#player,
        this.#policyAsked,
        this.#report.element,
      ),
    );
    this.#askForPolicy();
    document.addEventListener('dragover', (event) => event.preventDefault());
    document.addEventListener('drop', (event) => {
      event.preventDefault();
      for (const file of event.dataTransfer?.files ?? []) this.#take(file);
    });
  }

  begin(evidence: Blob | null): void {
    if (evidence !== null) this.#useEvidence(evidence);
    else this.#askForEvidence();
  }

  refuse(message: string): void {
    this.#say('bad', `This file is damaged and shows nothing: ${message}`);
  }

  /** A file that was dropped is what its content says. */
  #take(file: File): void {
    readDropped(file).then(
      (what) => this.#use(file, what),
      () => {
        this.#policyState.textContent = `${file.name} can not be read.`;
      },
    );
  }

  #use(file: File, what: Dropped): void {
    if (what.kind === 'policy') this.#usePolicy(file.name, what.bytes);
    else if (what.kind === 'bundle') this.#useEvidence(file);
    else if (what.kind === 'key') this.#useKey(what.bytes);
    else if (what.kind === 'document') void this.#report.digestDocument(file);
    else this.#policyState.textContent = `${file.name} is no policy, bundle, key or court file.`;
  }

  #askForEvidence(): void {
    const name = this.#facts?.evidence ?? 'the evidence bundle (.tar)';
    this.#say('warn', `The recording lies beside this document: choose or drop ${name}.`);
    this.#evidenceAsked.hidden = false;
    fill(
      this.#evidenceAsked,
      h('h2', {}, 'Evidence'),
      fileInput('Evidence bundle', '.tar', (file) => this.#take(file)),
    );
  }

  #useEvidence(evidence: Blob): void {
    this.#evidence = evidence;
    this.#evidenceAsked.hidden = true;
    this.#played = 'no';
    this.#verify();
  }

  #useKey(key: Uint8Array): void {
    this.#viewKey = key;
    this.#played = 'no';
    if (this.#evidence !== null) this.#verify();
  }

  #askForPolicy(): void {
    fill(
      this.#policyAsked,
      h('h2', {}, 'Whom do you trust?'),
      h(
        'p',
        {},
        'A file can not vouch for itself: who recorded this, and when, is checked against the policy file (JSON) that you hold, got from the recording installation by a way you trust. Choose it, or drop it anywhere on this page.',
      ),
      fileInput('Policy', '.json', (file) => this.#take(file)),
      this.#policyState,
    );
    this.#policyState.textContent = 'No policy: origin and time are not checked.';
  }

  #usePolicy(name: string, bytes: Uint8Array): void {
    this.#policy = { name, bytes };
    this.#policyState.textContent = `Checked against ${name}.`;
    if (this.#evidence !== null) this.#verify();
  }

  #verify(): void {
    this.#verifier?.terminate();
    this.#say('wait', 'Checking every chunk…');
    const worker = new Worker(this.#workerUrl, { name: 'lucid-verifier' });
    this.#verifier = worker;
    worker.addEventListener(
      'message',
      ({ data }: MessageEvent<FromCourtWorker | { type: 'failed'; message: string }>) => {
        if (data.type === 'verifying') this.#say('wait', `Checking every chunk: ${data.checked} of ${data.total}…`);
        else if (data.type === 'policyRefused') {
          this.#policyState.textContent = `${this.#policy?.name} is no policy: ${data.message}.`;
          this.#policy = null;
          this.#verify();
        } else if (data.type === 'failed') this.refuse(data.message);
        else if (data.type === 'verified') this.#verified(data);
      },
    );
    worker.addEventListener('error', (event) => this.refuse(event.message || 'the verifier could not start'));
    const message: ToCourtWorker = {
      type: 'verify',
      file: this.#evidence!,
      policy: this.#policy?.bytes ?? null,
      viewKey: this.#viewKey,
    };
    worker.postMessage(message);
  }

  #verified({ report, facts }: Extract<FromCourtWorker, { type: 'verified' }>): void {
    this.#verifier?.terminate();
    this.#verifier = null;
    this.#root = report.facts.merkle_root;
    const named = this.#facts?.session_id ?? null;
    const isOther = named !== null && report.session_id !== null && named !== report.session_id;
    const { tone, text } = isOther
      ? { tone: 'bad' as const, text: `This file says it is of ${named}, and the evidence is of ${report.session_id}.` }
      : bannerOf(report, this.#policy !== null);
    this.#say(tone, text);
    this.#report.show(report, facts, this.#policy?.name ?? null);
    const needsKey = facts.encryption === 'AES-256-GCM' && this.#viewKey === null;
    this.#askForKey(needsKey, report.verdicts.readability === 'unreadable');
    if (this.#played !== 'no') return;
    if (needsKey || report.session_id === null) fill(this.#player);
    else if (mayPlay(report) && !isOther) this.#play(report.session_id, report.verdicts.origin === 'imported');
    else this.#refusePlay(report.session_id, report.verdicts.origin === 'imported');
  }

  #askForKey(needed: boolean, isWrong: boolean): void {
    this.#keyAsked.hidden = !needed && !isWrong;
    if (this.#keyAsked.hidden) return;
    const input = h('input', {
      'aria-label': 'View key',
      placeholder: '64 hex digits, or base64',
      autocomplete: 'off',
    });
    const state = h('p', { role: 'status' }, isWrong ? 'The key given does not open this recording.' : '');
    const use = (): void => {
      const key = bytesOfKey(input.value);
      if (key === null) state.textContent = 'A view key is 32 bytes: 64 hex digits, or 44 characters of base64.';
      else this.#useKey(key);
    };
    fill(
      this.#keyAsked,
      h('h2', {}, 'View key'),
      h(
        'p',
        {},
        'The pictures are encrypted and their key is not in this file. What can be proven is checked without it; to see the recording give the view key you were handed, here or as a dropped file. It stays in this page.',
      ),
      h('div', { class: 'row' }, input, h('button', { type: 'button', class: 'primary', on: { click: use } }, 'Use')),
      fileInput('Key file', '', (file) => this.#take(file)),
      state,
    );
  }

  #refusePlay(sessionId: string, imported: boolean): void {
    this.#played = 'refused';
    const all = h(
      'button',
      { type: 'button', class: 'danger', on: { click: () => this.#play(sessionId, imported) } },
      'Show it all the same',
    );
    fill(
      this.#player,
      h(
        'div',
        { class: 'card refused', role: 'alert' },
        h('h2', {}, 'Not shown: this recording did not pass'),
        h('p', {}, 'What is wrong stands below. Pictures of it prove nothing.'),
        all,
      ),
    );
  }

  #play(sessionId: string, imported: boolean): void {
    const isDamaged = this.#played === 'refused';
    this.#played = 'yes';
    const player = new LucidPlayer();
    fill(
      this.#player,
      isDamaged &&
        h('p', { class: 'banner bad', role: 'alert' }, 'What follows did not pass the checks and proves nothing.'),
      player,
    );
    const bundle = { file: this.#evidence!, viewKey: this.#viewKey };
    const source = { baseUrl: '', token: '', sessionId, live: false, imported, root: this.#root, bundle };
    player.open(source).catch(() => {});
  }

  #say(tone: Tone | 'wait', text: string): void {
    this.#banner.className = `banner ${tone}`;
    if (this.#banner.textContent !== text) this.#banner.textContent = text;
  }
}

/** What a damaged document can still say. */
const damaged = (message: string): void =>
  fill(document.body, h('p', { class: 'banner bad' }, `This file is damaged and shows nothing: ${message}`));

try {
  const page = new CourtPage(factsInside());
  // Before the page is shown, which takes the place of what the document holds.
  const evidence = evidenceInside();
  page.show();
  page.begin(evidence);
} catch (error) {
  damaged(error instanceof Error ? error.message : 'it can not be read');
}
