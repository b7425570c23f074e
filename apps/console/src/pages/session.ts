import type { SessionStatus } from '@lucid-sessions/contract';
import { channelRulesText } from '@lucid-sessions/contract/recording-limits';
import type { Permission } from '@lucid-sessions/contract/roles';
import { outcomeText, standingOf } from '@lucid-sessions/contract/standing';
import { type ApiClient, ApiError, type Command } from '../api/client.ts';
import { may as isHeld } from '../api/credentials.ts';
import type { Chunk, Facts, Session } from '../api/types.ts';
import type { LucidPlayer } from '../player/page/lucid-player.ts';
import type { Verdict } from '../player/protocol.ts';
import { connectLink, isConnectable } from '../ui/connect-link.ts';
import { courtButton } from '../ui/court-button.ts';
import { credentialButton } from '../ui/credential-button.ts';
import { askToDestroy } from '../ui/destroy-dialog.ts';
import { type Child, fill, h } from '../ui/dom.ts';
import { formatBytes, formatClock, formatMoment, humanise, parseMoment, shorten } from '../ui/format.ts';
import { grantPanel } from '../ui/grant-panel.ts';
import { holdPanel } from '../ui/hold-panel.ts';
import { messageForm } from '../ui/message-form.ts';
import { failure, isAbort, type Page, type PageContext, repeat } from '../ui/page.ts';
import { alertMark, type Column, facts, instant, liveStatuses, statusBadge, table, tabs } from '../ui/parts.ts';
import { rdpFileButtons } from '../ui/rdp-file-button.ts';
import { redactForm } from '../ui/redact-form.ts';
import { navigate } from '../ui/router.ts';
import { steerForm } from '../ui/steer-form.ts';
import { throughGate } from '../ui/viewing-gate.ts';
import { clientSays, whoCame } from '../ui/who-came.ts';
import { alertList } from './alerts.ts';
import { auditTrail } from './audit.ts';
import { anchorView, manifestView, pipelineView, showAnswer } from './session-records.ts';
import { target } from './sessions.ts';

const refreshMs = 5000;
const chunksPageSize = 100;

/** One session: its picture, what is known about it, and what proves it. */
export function sessionPage(context: PageContext, sessionId: string): Page {
  const { api, signal } = context;
  const content = h('div', { class: 'form-wide' }, h('p', { class: 'muted', role: 'status' }, 'Loading the session…'));
  const host = h('div', { class: 'session-page' }, content);

  async function load(): Promise<void> {
    try {
      const session = await api.getSession(sessionId, signal);
      document.title = `${session.name} · Lucid Sessions`;
      showSession(context, host, session);
    } catch (error) {
      if (!isAbort(error)) fill(host, failure(error));
    }
  }
  void load();
  return { title: 'Session', content: host };
}

function showSession(context: PageContext, host: HTMLElement, first: Session): void {
  const { api, signal } = context;
  let session = first;
  const may = (permission: Permission): boolean => isHeld(context.claims, permission);
  const badge = h('span', { class: 'standing' });
  const commands = h('div', { class: 'actions' });
  const answer = h('div', { 'aria-live': 'assertive' });
  const picture = h('div', {});
  const message = messageForm(api, session.session_id);
  const steer = steerForm(api, session.session_id, () => picture.querySelector<LucidPlayer>('lucid-player'));
  const redact = redactForm(session.session_id, () => picture.querySelector<LucidPlayer>('lucid-player'));
  const known = sessionTabs(
    context,
    () => session,
    () => void refresh().catch(() => {}),
  );
  let playing: 'nothing' | 'live' | 'recording' | null = null;

  async function refresh(): Promise<void> {
    session = (await api.refreshSession(session.session_id, signal)) ?? { ...session, status: 'deleted' };
    update();
  }
  const show = (element: HTMLElement): void => fill(answer, element);
  function update(): void {
    const standing = standingOf(session);
    fill(
      badge,
      badgeOf(session),
      standing !== null && h('span', { class: 'muted' }, standing),
      session.alerts && alertMark(session.alerts),
    );
    known.refresh();
    message.hidden = session.status !== 'recording' || Boolean(session.imported) || !may('sessions:message');
    redact.hidden = session.merkle_root === null || session.status === 'deleted' || !may('evidence:read');
    steer.hidden = session.status !== 'recording' || Boolean(session.imported) || !may('sessions:steer');
    const connectable = session.status === 'created' || session.status === 'starting';
    const courtable =
      ['completed', 'failed', 'stopped'].includes(session.status) && session.statistics.chunks_count > 0;
    const mayConnect = isConnectable(session) && may('sessions:start');
    fill(
      commands,
      mayConnect && connectLink(session, 'primary'),
      connectable && may('sessions:start') && rdpFileButtons(api, session, (told) => fill(answer, told)),
      connectable &&
        may('sessions:start') &&
        credentialButton(api, session, show, (error) => fill(answer, failure(error))),
      commandButtons(session.status, may, run),
      courtable && may('evidence:read') && courtButton(api, session, may('chunks:download'), show),
      may('sessions:delete') && deleteButton(context, session),
    );
    // An import has no picture to follow: it is there within moments.
    const live = liveStatuses.includes(session.status) && session.started_at !== null && !session.imported;
    const isRead = !session.imported || !liveStatuses.includes(session.status);
    const isThere = session.statistics.chunks_count > 0 && session.status !== 'deleted';
    const now = live ? 'live' : isThere && isRead ? 'recording' : 'nothing';
    // A player that follows a running session becomes one of the recording by itself.
    const stored = ['completed', 'failed', 'deleted'].includes(session.status);
    if (now === playing || (playing === 'live' && (now === 'recording' || !stored))) return;
    const watched = picture.querySelector<LucidPlayer>('lucid-player');
    const startSeconds = watched?.currentTime ?? parseMoment(location.hash) ?? 0;
    playing = now;
    if (now === 'nothing') {
      fill(picture, nothingYet(session));
      return;
    }
    void throughGate(context, session.session_id, picture, () => {
      const element = player(api, session, { live, startSeconds }, signal);
      if (session.alerts && may('alerts:read')) void markAlerts(api, session, element, signal);
      // What somebody who walked through it found is known to the session too by then.
      element.addEventListener('lucid-verdicts', (event) => {
        if (isNews(session.replay, (event as CustomEvent<Verdict[]>).detail)) void refresh().catch(() => {});
      });
      fill(picture, element);
    });
  }
  async function run(action: Command): Promise<void> {
    try {
      await api.command(session.session_id, action);
      await refresh();
      fill(answer);
    } catch (error) {
      if (!isAbort(error)) fill(answer, failure(error));
    }
  }

  update();
  fill(
    host,
    heading(session, badge, commands),
    importedNotice(session),
    answer,
    message,
    steer,
    picture,
    redact,
    known.element,
  );
  void repeat(refreshMs, signal, async () => {
    if (['completed', 'failed', 'deleted'].includes(session.status)) return;
    await refresh().catch((error: unknown) => {
      if (!isAbort(error) && error instanceof ApiError && error.status === 404) fill(answer, failure(error));
    });
  });
}

/** Without marks the recording is played all the same: they are beside it in a tab of their own. */
async function markAlerts(api: ApiClient, session: Session, element: LucidPlayer, signal: AbortSignal): Promise<void> {
  const query = { session_id: session.session_id, limit: 500 };
  const { alerts } = await api.rest.listAlerts({ query, signal }).catch(() => ({ alerts: [] }));
  element.alerts = alerts.map(({ time_us }) => time_us / 1e6);
}

const badgeOf = (session: Session): Child =>
  session.imported
    ? [h('span', { class: 'status warn' }, 'imported'), ' ', h('span', { class: 'muted' }, session.status)]
    : statusBadge(session.status);

function importedNotice({ imported }: Session): Child {
  if (!imported) return null;
  return h(
    'p',
    { class: 'notice warn', role: 'note' },
    h(
      'span',
      {},
      h('strong', {}, 'Imported, not recorded. '),
      `${imported.by} made this of a file: who holds a capture can change it. Nothing is proven about what it shows, or when and where it happened.`,
    ),
  );
}

function heading(session: Session, badge: Child, commands: Child): HTMLElement {
  return h(
    'div',
    { class: 'heading' },
    h(
      'div',
      { class: 'grow' },
      h('div', { class: 'heading' }, h('h1', {}, session.name), badge),
      h(
        'p',
        { class: 'muted' },
        session.imported ? `imported by ${session.imported.by}` : target(session),
        session.started_at && [' · ', instant(session.started_at)],
      ),
    ),
    commands,
  );
}

/** The player knows of an examination that the session does not: it was made since the page was opened. */
const isNews = (known: Session['replay'], verdicts: readonly Verdict[]): boolean =>
  (known?.state ?? 'unexamined') === 'unexamined' &&
  verdicts.some(({ name, isOpen, word }) => name === 'replay' && isOpen === false && word !== 'not checked');

/** By the signed record; nobody may have walked through it yet. */
function replayWords({ status, replay }: Session): string {
  if (status === 'deleted') return 'nothing any more: the recording was deleted';
  if (!replay) return 'not examined';
  const words = { drawn: 'everything', parts: 'not all', nothing: 'nothing', unexamined: 'not examined' };
  return `${words[replay.state]} (${replay.detail})`;
}

const commandsFor: Partial<Record<SessionStatus, readonly Command[]>> = {
  created: ['start'],
  starting: ['stop'],
  recording: ['pause', 'stop'],
  paused: ['resume', 'stop'],
};

/** The player beside them has buttons of its own that play and pause. */
const wordsFor: Record<Command, string> = {
  start: 'Start recording',
  stop: 'Stop session',
  pause: 'Pause recording',
  resume: 'Resume recording',
};

const permissionFor: Record<Command, Permission> = {
  start: 'sessions:start',
  stop: 'sessions:stop',
  pause: 'sessions:pause',
  resume: 'sessions:pause',
};

function commandButtons(
  status: SessionStatus,
  may: (permission: Permission) => boolean,
  run: (command: Command) => Promise<void>,
): Child {
  return (commandsFor[status] ?? [])
    .filter((command) => may(permissionFor[command]))
    .map((command) =>
      h(
        'button',
        { type: 'button', class: command === 'stop' ? 'danger' : '', on: { click: () => void run(command) } },
        wordsFor[command],
      ),
    );
}

function deleteButton(context: PageContext, session: Session): Child {
  const isKept = session.legal_holds > 0;
  if (isKept || liveStatuses.includes(session.status) || session.status === 'deleted') return null;
  const ask = (): void =>
    askToDestroy(
      {
        title: 'Delete this recording for good?',
        consequence: 'Its keys are destroyed and its files removed; nobody can see it again. Its signed records stay.',
        name: session.name,
        action: 'Delete for good',
        async destroy(consent) {
          await context.api.deleteSession(session.session_id, consent);
          navigate('/sessions');
        },
      },
      () => document.querySelector('#delete-session'),
      context.signal,
    );
  return h('button', { id: 'delete-session', type: 'button', class: 'quiet', on: { click: ask } }, 'Delete…');
}

const deletedText =
  'This recording was deleted: its keys are destroyed and its files removed. Its signed records are still here.';

function nothingYet(session: Session): HTMLElement {
  if (session.status === 'deleted') return h('div', { class: 'card empty' }, deletedText);
  const waiting = session.status === 'created' || session.status === 'starting';
  const text = waiting
    ? `${session.last_attempt ? `The last connection did not get through: ${session.last_attempt.message}.` : 'Nobody has connected yet.'} The picture appears here as soon as the recording begins.`
    : `There is no recording to show${whyNone(session)}.`;
  return h('div', { class: 'card empty' }, text);
}

function whyNone(session: Session): string {
  if (session.outcome === 'never_connected' && !session.last_attempt) return ': nobody connected';
  const why = session.end_message ?? session.last_attempt?.message;
  const which =
    session.end_message === null && session.outcome === 'refused' ? 'the last connection was refused: ' : '';
  return why ? `: ${which}${why.replace(/\.$/, '')}` : '';
}

function player(
  api: ApiClient,
  session: Session,
  { live, startSeconds }: { live: boolean; startSeconds: number },
  signal: AbortSignal,
): LucidPlayer {
  const element = document.createElement('lucid-player') as LucidPlayer;
  element.linkHash = true;
  // What goes wrong is shown by the player itself.
  element
    .open(
      {
        baseUrl: api.baseUrl,
        ...api.credentials,
        sessionId: session.session_id,
        live,
        imported: Boolean(session.imported),
        root: session.merkle_root,
      },
      { startSeconds },
    )
    .catch(() => {});
  addEventListener(
    'hashchange',
    () => {
      const seconds = parseMoment(location.hash);
      if (seconds !== null) element.seek(seconds);
    },
    { signal },
  );
  signal.addEventListener('abort', () => element.close());
  return element;
}

/** `refresh` shows what is known now. */
function sessionTabs(
  context: PageContext,
  current: () => Session,
  changed: () => void,
): { element: HTMLElement; refresh: () => void } {
  const { api, claims, signal } = context;
  const sessionId = current().session_id;
  const request = { params: { session_id: sessionId }, signal };
  const known = h('div', {});
  let shown = '';
  const refresh = (): void => {
    const session = current();
    const text = JSON.stringify(session);
    // Filled anew it would lose what somebody has selected in it.
    if (text !== shown) fill(known, sessionFacts(session));
    shown = text;
  };
  const record = (name: string, ask: () => Promise<Facts>, render: (answer: Facts) => Child) => ({
    name,
    content: (panel: HTMLElement) => void showAnswer(panel, ask(), render),
  });
  const may = (permission: Permission): boolean => isHeld(claims, permission);
  const audits = may('audit:read');
  const element = tabs('About this session', [
    { name: 'Facts', content: (panel) => fill(panel, known) },
    { name: 'Chunks', content: (panel) => fill(panel, chunkList(api, sessionId, signal)) },
    ...(may('alerts:read')
      ? [{ name: 'Alerts', content: (panel: HTMLElement) => fill(panel, alertList(api, sessionId, signal)) }]
      : []),
    record('Manifest', () => api.rest.getManifest(request), manifestView),
    record('Anchors', () => api.rest.getAnchor(request), anchorView),
    record('Pipeline', () => api.rest.getPipeline(request), pipelineView),
    ...(audits || may('sessions:hold')
      ? [
          {
            name: 'Legal holds',
            content: (panel: HTMLElement) =>
              fill(panel, holdPanel(api, sessionId, may('sessions:hold'), changed, signal)),
          },
        ]
      : []),
    ...(audits || may('recordings:grant')
      ? [
          {
            name: 'Grants',
            content: (panel: HTMLElement) => fill(panel, grantPanel(api, sessionId, may('recordings:grant'), signal)),
          },
        ]
      : []),
    ...(audits
      ? [
          {
            name: 'Audit trail',
            content: (panel: HTMLElement) => fill(panel, auditTrail(api, sessionId, signal)),
          },
        ]
      : []),
  ]);
  return { element, refresh };
}

/** What the file says of itself is told as its word. */
function importedFacts({ imported }: Session): [string, Child][] {
  if (!imported) return [];
  const { source_name, source_sha256, capture_sha256, captured_from, captured_to, client, server, problem } = imported;
  return [
    ['Imported from', source_name],
    ['SHA-256 of that file', h('code', {}, source_sha256)],
    ['SHA-256 of the connection in it', h('code', {}, capture_sha256)],
    ['Captured, as it says', captured_from && [instant(captured_from), ' to ', instant(captured_to)]],
    ['Between, as it says', client && server && `${client} and ${server}`],
    ['Not read to its end', problem],
  ];
}

const logonTexts: Record<Session['credentials'], string | null> = {
  none: null,
  injected: 'the gateway, with credentials it was given',
  vault: 'the gateway, with credentials from Vault',
  client: 'its user, with what the client sends',
};

function sessionFacts(session: Session): HTMLElement {
  const { rdp_config: rdp, recording_config: recording, storage_config: storage, metadata, statistics } = session;
  return facts([
    ['Session id', h('code', {}, session.session_id)],
    ['Description', session.description],
    ['Target', !session.imported && `${rdp.host} port ${rdp.port}`],
    ['User', [rdp.domain, rdp.username].filter(Boolean).join('\\')],
    ['Logs on to the target', logonTexts[session.credentials]],
    [
      'Target’s certificate',
      session.imported
        ? null
        : rdp.pinned_sha256
          ? ['pinned to ', h('code', {}, rdp.pinned_sha256)]
          : rdp.ignore_cert
            ? 'any accepted'
            : 'checked',
    ],
    ['Target’s TLS', rdp.legacy_tls && 'old versions and suites accepted'],
    ['RDP compression', rdp.bulk_compression === false && 'off'],
    ['Channel policy', rdp.channels && channelRulesText(rdp.channels)],
    ['Left in though replay can’t show it', rdp.leave_in?.map(humanise).join(', ')],
    ['Created', [instant(session.created_at), session.created_by && ` by ${session.created_by}`]],
    ...importedFacts(session),
    [session.imported ? 'Import began' : 'Started', session.started_at && instant(session.started_at)],
    [session.imported ? 'Import ended' : 'Ended', session.stopped_at && instant(session.stopped_at)],
    [
      'Why it ended',
      [session.end_reason && humanise(session.end_reason), session.end_message && ` – ${session.end_message}`],
    ],
    ['What became of it', outcomeText(session) ?? standingOf(session)],
    ['What can be seen of it', session.statistics.chunks_count > 0 && replayWords(session)],
    [
      'Last attempt',
      session.last_attempt && [
        session.last_attempt.message,
        ` – from ${session.last_attempt.client_address}, `,
        instant(session.last_attempt.at),
      ],
    ],
    [
      'Who came',
      (whoCame(session) ?? (session.connections > 0 ? 'not known' : '')) +
        (session.connections > 1 ? ` (the last of ${session.connections} connections)` : ''),
    ],
    ['Came from', session.client_address],
    ['Its client says', clientSays(session)],
    ['Waits for its client until', session.reconnect_until && instant(session.reconnect_until)],
    ['Duration', session.started_at && formatClock(statistics.duration_seconds)],
    [
      'Recorded',
      statistics.chunks_count > 0 &&
        `${statistics.chunks_count} chunk${statistics.chunks_count === 1 ? '' : 's'}, ${formatBytes(statistics.size_bytes)}, ${framesText(statistics.frame_count)}`,
    ],
    ['Lost frames', statistics.dropped_frames > 0 && String(statistics.dropped_frames)],
    ['Project', [metadata.project, metadata.environment].filter(Boolean).join(' · ')],
    ['Owner', metadata.owner],
    [
      'Tags',
      metadata.tags &&
        metadata.tags.length > 0 &&
        h(
          'div',
          { class: 'tags' },
          metadata.tags.map((tag) => h('span', { class: 'tag' }, tag)),
        ),
    ],
    [
      'When it can’t be stored',
      !session.imported &&
        (recording.persistence === 'strict' ? 'the session ends (strict)' : 'the session goes on, the gap is recorded'),
    ],
    ['Graphics', !session.imported && recording.graphics],
    [
      'Legal holds',
      session.legal_holds > 0 && `${session.legal_holds}: until cleared, nothing of it is deleted or shredded`,
    ],
    ['Kept', storage.retention_days === null ? 'until it is deleted' : `${storage.retention_days} days after its end`],
    ['Merkle root', session.merkle_root && h('code', {}, session.merkle_root)],
  ]);
}

/** Rows that were made again from files have no count. */
const framesText = (count: number | null): string =>
  count === null ? 'frames not counted' : `${count.toLocaleString('en')} frames`;

const chunkColumns = (startedMs: number | null): readonly Column<Chunk>[] => [
  { name: '#', number: true, cell: (chunk) => chunk.sequence_number },
  {
    name: 'From',
    cell: (chunk) =>
      startedMs === null
        ? instant(chunk.timestamp)
        : h('a', { href: `#t=${momentOf(chunk, startedMs).toFixed(1)}` }, formatMoment(momentOf(chunk, startedMs))),
  },
  { name: 'Length', number: true, cell: (chunk) => `${chunk.duration_seconds.toFixed(1)} s` },
  { name: 'Frames', number: true, cell: (chunk) => chunk.frame_count?.toLocaleString('en') ?? 'not counted' },
  { name: 'File', number: true, cell: (chunk) => formatBytes(chunk.size_bytes) },
  { name: 'Status', cell: (chunk) => statusBadge(chunk.status) },
  { name: 'Leaf hash', cell: (chunk) => h('code', { title: chunk.merkle_hash }, shorten(chunk.merkle_hash)) },
];

const momentOf = (chunk: Chunk, startedMs: number): number =>
  Math.max(0, (Date.parse(chunk.timestamp) - startedMs) / 1000);

function chunkList(api: ApiClient, sessionId: string, signal: AbortSignal): HTMLElement {
  const host = h('div', {});
  const chunks: Chunk[] = [];
  const more = h('button', { type: 'button', on: { click: () => void load() } }, 'Show more');
  async function load(): Promise<void> {
    try {
      const answer = await api.listChunks(sessionId, chunksPageSize, chunks.length, signal);
      chunks.push(...answer.chunks);
      const startedMs = chunks[0] ? Date.parse(chunks[0].timestamp) : null;
      fill(host, table('Chunks', chunkColumns(startedMs), chunks), answer.pagination.has_next && more);
    } catch (error) {
      if (!isAbort(error)) fill(host, failure(error));
    }
  }
  void load();
  return host;
}
