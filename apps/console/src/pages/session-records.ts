/** The tabs about what proves a session: signed records, anchors, pipeline. */
import { ApiError } from '../api/client.ts';
import type { Facts } from '../api/types.ts';
import { type Child, fill, h } from '../ui/dom.ts';
import { formatBytes, formatClock, humanise, shorten } from '../ui/format.ts';
import { failure, isAbort } from '../ui/page.ts';
import { facts, instant, table } from '../ui/parts.ts';

const isFacts = (value: unknown): value is Facts =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const consents: Readonly<Record<string, string>> = {
  user: 'its user agreed',
  policy: 'its user was not asked',
  none: 'it did not come to it',
};
const listOf = (value: unknown): Facts[] => (Array.isArray(value) ? value.filter(isFacts) : []);
const code = (value: unknown): Child => (typeof value === 'string' && value !== '' ? h('code', {}, value) : null);
const atUs = (value: unknown): Child =>
  typeof value === 'number' ? instant(new Date(value / 1000).toISOString()) : null;

/** Puts a JSON answer into a panel: what matters on top, the whole of it to unfold. */
export async function showAnswer(
  panel: HTMLElement,
  asked: Promise<Facts>,
  render: (answer: Facts) => Child,
): Promise<void> {
  try {
    const answer = await asked;
    const whole = h(
      'pre',
      { class: 'record', tabindex: 0, 'aria-label': 'The whole answer' },
      JSON.stringify(answer, null, 2),
    );
    fill(panel, render(answer), h('details', {}, h('summary', {}, 'The whole answer'), whole));
  } catch (error) {
    if (isAbort(error)) return;
    const notThereYet = error instanceof ApiError && error.status === 404;
    fill(
      panel,
      notThereYet
        ? h('p', { class: 'muted' }, 'Not there yet: it is made when the session has ended.')
        : failure(error),
    );
  }
}

export function manifestView(answer: Facts): Child {
  const manifest = isFacts(answer.manifest) ? answer.manifest : {};
  const body = isFacts(manifest.body) ? manifest.body : {};
  const end = isFacts(body.end) ? body.end : {};
  const keys = isFacts(body.keys) ? body.keys : {};
  const records = listOf(answer.records);
  return [
    facts([
      ['Merkle root', code(answer.merkle_root)],
      [
        'Chunks',
        typeof body.chunks_count === 'number' && `${body.chunks_count}, ${formatBytes(Number(body.total_bytes))}`,
      ],
      ['Opened', atUs(body.opened_us)],
      ['Ended', atUs(body.ended_us)],
      ['Why it ended', typeof end.message === 'string' && end.message],
      [
        'When it could not be stored',
        body.persistence === 'strict' ? 'the session would have ended (strict)' : code(body.persistence),
      ],
      ['Gaps', String(listOf(body.gaps).length)],
      ['Pauses', String(listOf(body.pauses).length)],
      [
        'Downgrades',
        listOf(body.downgrades)
          .map(({ what }) => String(what))
          .join('; '),
      ],
      [
        'Taken over',
        listOf(body.steering)
          .map(
            ({ by, consent, end }) =>
              `${by} (${consents[String(consent)] ?? String(consent)}): ${end || 'how it ended is not known'}`,
          )
          .join('; '),
      ],
      [
        'Channel policy',
        listOf(body.policy)
          .map(({ what, count }) => (Number(count) > 0 ? `${what}: ${count} times` : String(what)))
          .join('; '),
      ],
      ['Signed by', code(keys.identity_key)],
      ['SHA-256 of the manifest', code(manifest.sha256)],
    ]),
    records.length > 0 &&
      table(
        'Signed records',
        [
          { name: '#', number: true, cell: ({ sequence }) => String(sequence ?? '') },
          { name: 'Record', cell: ({ kind }) => humanise(String(kind ?? '')) },
          { name: 'About', cell: ({ body: about }) => (isFacts(about) ? recordSubject(about) : '') },
          {
            name: 'SHA-256',
            cell: ({ sha256 }) => h('code', { title: String(sha256) }, shorten(String(sha256 ?? ''))),
          },
        ],
        records,
      ),
  ];
}

/** What a record says in a few words. */
function recordSubject(body: Facts): Child {
  switch (body.kind) {
    case 'custody':
      return [`${String(body.action)} by ${String(body.actor)}, `, atUs(body.at_us)];
    case 'open':
      return [atUs(body.opened_us)];
    case 'manifest':
      return [atUs(body.ended_us)];
    case 'replay':
      return [atUs(body.examined_us)];
    case 'resume':
      return [`from chunk ${Number(body.index) + 1}: ${String(body.reason)}`];
    default:
      return [atUs(body.at_us)];
  }
}

export function anchorView(answer: Facts): Child {
  const log = isFacts(answer.log) ? answer.log : null;
  const receipts = listOf(answer.receipts);
  return [
    facts([
      ['Merkle root', code(answer.merkle_root)],
      ['Transparency log', log === null ? 'not logged yet' : `entry ${String(log.log_index)}`],
      ['Log’s public key', code(answer.log_public_key)],
      ['Checkpoint', log !== null && h('pre', { class: 'record' }, String(log.checkpoint ?? ''))],
    ]),
    receipts.length === 0
      ? h('p', { class: 'muted' }, 'No outside anchors.')
      : table(
          'Outside anchors',
          [
            { name: 'Anchor', cell: ({ backend }) => humanise(String(backend)) },
            {
              name: 'Status',
              cell: ({ status }) => h('span', { class: `status ${anchorTone(status)}` }, String(status)),
            },
            { name: 'Submitted', cell: ({ submitted_at: at }) => instant(at as string | null) },
            { name: 'Confirmed', cell: ({ confirmed_at: at }) => instant(at as string | null) },
            {
              name: 'Block',
              number: true,
              cell: ({ block_height: height }) => (height === null ? '–' : String(height)),
            },
            { name: 'Transaction', cell: ({ transaction_id: id }) => (id === null ? '–' : code(id)) },
          ],
          receipts,
        ),
  ];
}

function anchorTone(status: unknown): string {
  if (status === 'confirmed') return 'good';
  return status === 'failed' || status === 'reorged' ? 'bad' : 'accent';
}

const stageTones: Record<string, string> = { active: 'accent', completed: 'good', paused: 'warn', error: 'bad' };

export function pipelineView(answer: Facts): Child {
  return [
    facts([
      ['Pipeline', String(answer.pipeline_status ?? '')],
      ['State', String(answer.state ?? '')],
    ]),
    table(
      'Stages of the pipeline',
      [
        { name: 'Stage', cell: ({ stage_name: name }) => humanise(String(name)) },
        {
          name: 'Status',
          cell: ({ status }) => h('span', { class: `status ${stageTones[String(status)] ?? ''}` }, String(status)),
        },
        { name: 'Done', number: true, cell: ({ items_processed: items }) => String(items) },
        { name: 'Errors', number: true, cell: ({ errors_count: errors }) => String(errors) },
        { name: 'Time', number: true, cell: ({ processing_time_ms: ms }) => duration(Number(ms)) },
        {
          name: 'Last error',
          cell: ({ last_error: error }) => (error === null || error === undefined ? '–' : String(error)),
        },
      ],
      listOf(answer.stages),
    ),
  ];
}

const duration = (ms: number): string => (ms < 60_000 ? `${(ms / 1000).toFixed(2)} s` : formatClock(ms / 1000));
