import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nodeCrypto } from '@lucid-sessions/node';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  type AuditFindingCode,
  type AuditReport,
  auditEntry,
  auditExportBegin,
  auditExportEnd,
  auditRowHash,
  formatAuditReport,
  type GivenAudit,
  type GivenAuditRow,
  LogMonitor,
  makeAuditRow,
  parseLogEntry,
  readAuditLine,
  readAuditRow,
  scanLog,
  verifyAudit,
} from '../src/index.ts';
import { logOf, logSigner, MemoryLog, policyOf, T0 } from './recording-fixture.ts';

type Row = ReturnType<typeof makeAuditRow>;

const eventOf = (at: number, details: unknown = { at }) => ({
  event_id: `e${at}`,
  timestamp_us: T0 + at * 1_000_000,
  event_type: at === 0 ? 'audit_chain_began' : 'session_created',
  user_id: at % 2 === 0 ? null : 'ada',
  resource_id: null,
  ip_address: '192.0.2.7',
  user_agent: null,
  success: true,
  error_message: null,
  details: at === 0 ? { uncovered_rows: 3 } : details,
});

function chainOf(count: number, change: (at: number) => unknown = (at) => ({ at })): Row[] {
  const rows: Row[] = [];
  for (let at = 0; at < count; at += 1) rows.push(makeAuditRow(rows.at(-1) ?? null, eventOf(at, change(at))));
  return rows;
}

const rows = chainOf(12);
const chain = rows[0]!.sha256;
const headOf = (row: Row, of = chain) => auditEntry({ rowSha256: row.sha256, chain: of });

/** A log that holds the heads of rows 4 and 9, and somebody else's entries. */
async function logWith(...heads: Uint8Array[]) {
  const log = new MemoryLog();
  for (const head of heads) log.put(head);
  return log;
}
const log = await logWith(headOf(rows[4]!), Uint8Array.of(1, 2, 3), headOf(rows[9]!));
const reader = logOf(await log.files());
const proofOf = async (index: number, sequence: number) => ({
  sequence,
  text: log.proof(index, await log.checkpoint(T0)),
});

const filed = (row: Row): NonNullable<GivenAuditRow['filedAs']> => ({
  sequence: row.sequence,
  eventId: row.event.event_id,
  timestampUs: row.event.timestamp_us,
  eventType: row.event.event_type,
  userId: row.event.user_id,
  resourceId: row.event.resource_id,
});

function given(texts: readonly (string | Row)[], more: Partial<GivenAudit> = {}): GivenAudit {
  async function* all(): AsyncGenerator<GivenAuditRow> {
    for (const row of texts) yield typeof row === 'string' ? { text: row } : { text: row.text, filedAs: filed(row) };
  }
  return { rows: all(), unchained: () => 3, proof: () => null, ...more };
}

const verify = (audit: GivenAudit, withLog: boolean | typeof reader = true): Promise<AuditReport> =>
  verifyAudit(audit, {
    crypto: nodeCrypto,
    policy: policyOf({ witnesses_required: 0 }),
    ...(withLog === false ? {} : { log: withLog === true ? reader : withLog }),
  });
const codesOf = ({ findings }: AuditReport): AuditFindingCode[] => findings.map(({ code }) => code);

describe('an audit chain', () => {
  it('is clean as it was written, and says what nobody can vouch for', async () => {
    const report = await verify(given(rows));
    assert.deepEqual([report.clean, report.exit_code, report.findings], [true, 0, []]);
    const { facts } = report;
    assert.deepEqual(
      [facts.rows, facts.chain, facts.covered_to, facts.rows_not_covered, facts.rows_before_chain, facts.heads],
      [12, chain, 9, 2, 3, 2],
    );
    const text = formatAuditReport(report);
    assert.match(text, /2 rows behind the last logged head/);
    assert.match(text, /3 rows from before the chain began/);
    assert.match(text, /CLEAN/);
  });

  it('without the log is covered by the proof it comes with, and says that it was not compared', async () => {
    const proof = await proofOf(3, 9);
    const report = await verify(given(rows, { proof: () => proof }), false);
    assert.deepEqual([codesOf(report), report.facts.covered_to, report.facts.log_size], [[], 9, null]);
    assert.match(formatAuditReport(report), /not compared/);
    const none = await verify(given(rows), false);
    assert.deepEqual(codesOf(none), ['LOG_INCLUSION']);
    const other = await proofOf(3, 8);
    assert.deepEqual(codesOf(await verify(given(rows, { proof: () => other }), false)), [
      'ROW_MISSING',
      'LOG_INCLUSION',
    ]);
    const cut = await verify(given(rows.slice(0, 9), { proof: () => proof }), false);
    assert.ok(codesOf(cut).includes('ROW_MISSING'));
  });

  it('shows that all rows are gone, also where no log is given', async () => {
    const proof = await proofOf(3, 9);
    assert.deepEqual(codesOf(await verify(given([], { proof: () => proof }), false)), ['ROW_MISSING', 'LOG_INCLUSION']);
    assert.deepEqual(codesOf(await verify(given([]), false)), ['LOG_INCLUSION']);
    const empty = await logWith(Uint8Array.of(1, 2, 3));
    assert.deepEqual(codesOf(await verify(given([]), logOf(await empty.files()))), []);
  });

  it('takes no proof of another tree than the log given', async () => {
    const anew = chainOf(12, (at) => (at >= 3 ? { at, who: 'nobody' } : { at }));
    const fork = new MemoryLog();
    fork.entries.length = 0;
    fork.leaves.length = 0;
    const text = fork.proof(fork.put(headOf(anew[11]!)), await fork.checkpoint(T0));
    const forged = given(anew, { proof: () => ({ sequence: 11, text }) });
    assert.deepEqual(codesOf(await verify(forged)), ['LOG_FORK', 'ROW_MISSING']);
  });

  it('begins with a number of rows from before', async () => {
    for (const uncovered_rows of [-3, '3', null]) {
      const first = makeAuditRow(null, { ...eventOf(0), details: { uncovered_rows } });
      assert.ok(codesOf(await verify(given([first]), false)).includes('FORMAT'));
    }
  });

  it('shows a row that was rewritten, also where all behind it were made anew', async () => {
    const rewritten = makeAuditRow(rows[5]!, { ...eventOf(6), user_id: 'eve' });
    assert.deepEqual(codesOf(await verify(given([...rows.slice(0, 6), rewritten, ...rows.slice(7)]))), ['ROW_ALTERED']);
    const anew = chainOf(12, (at) => (at === 6 ? { at, who: 'nobody' } : { at }));
    const report = await verify(given([...rows.slice(0, 6), ...anew.slice(6)]));
    assert.deepEqual(codesOf(report), ['ROW_MISSING']);
    assert.match(report.findings[0]!.message, /entry 3.*behind row 4/);
    const other = await verify(given(anew.map((row) => row)));
    assert.equal(other.clean, false);
  });

  it('shows rows that are removed, cut off, added, doubled or put elsewhere', async () => {
    const without = (...gone: number[]) => rows.filter((_, at) => !gone.includes(at));
    assert.deepEqual(codesOf(await verify(given(without(7)))), ['ROW_MISSING']);
    assert.deepEqual(codesOf(await verify(given(without(3, 4, 5)))), ['ROW_MISSING', 'ROW_MISSING']);
    assert.deepEqual(codesOf(await verify(given(rows.slice(0, 7)))), ['ROW_MISSING']);
    assert.deepEqual(codesOf(await verify(given([...rows.slice(0, 5), rows[4]!, ...rows.slice(5)]))), ['ROW_EXTRA']);
    const forged = makeAuditRow(rows[4]!, { ...eventOf(99) });
    assert.deepEqual(codesOf(await verify(given([...rows.slice(0, 6), forged, ...rows.slice(6)]))), ['ROW_EXTRA']);
    const swapped = [...rows.slice(0, 5), rows[6]!, rows[5]!, ...rows.slice(7)];
    assert.deepEqual(codesOf(await verify(given(swapped))), ['ROW_MISSING', 'REORDERED']);
    assert.deepEqual(codesOf(await verify(given([]))), ['ROW_MISSING']);
  });

  it('counts rows that stand in no chain, both ways', async () => {
    assert.deepEqual(codesOf(await verify(given(rows, { unchained: () => 4 }))), ['ROW_EXTRA']);
    assert.deepEqual(codesOf(await verify(given(rows, { unchained: () => 0 }))), ['ROW_MISSING']);
  });

  it('shows a row that lists pass over because it is filed as another', async () => {
    async function* all(): AsyncGenerator<GivenAuditRow> {
      for (const row of rows)
        yield { text: row.text, filedAs: row.sequence === 3 ? { ...filed(row), userId: 'bob' } : filed(row) };
    }
    const report = await verify({ rows: all(), unchained: () => 3, proof: () => null });
    assert.deepEqual([codesOf(report), report.findings[0]?.sequence], [['ROW_MISFILED'], 3]);
  });

  it('shows another chain in one log, and a log that is not the one that is trusted', async () => {
    const others = chainOf(3, (at) => ({ other: at }));
    const second = makeAuditRow(null, { ...eventOf(0), event_id: 'another' });
    const two = await logWith(headOf(rows[4]!), headOf(others[2]!, second.sha256));
    assert.deepEqual(codesOf(await verify(given(rows), logOf(await two.files()))), ['DUPLICATE']);
    assert.deepEqual(codesOf(await verify(given(rows), () => null)), ['LOG_FORK']);
    const monitor = new LogMonitor();
    await scanLog(logOf(await two.files()), { crypto: nodeCrypto, keys: [logSigner.key], visit: monitor.visit });
    assert.deepEqual(
      monitor.duplicates.map(({ kind, first, again }) => [kind, first, again]),
      [['audit', 1, 2]],
    );
    assert.equal(monitor.counts.get('audit'), 2);
  });

  it('leaves heads unjudged that were logged behind the export', async () => {
    const proof = await proofOf(1, 4);
    const longer = await logWith(headOf(rows[4]!), Uint8Array.of(1, 2, 3), headOf(rows[9]!));
    const early = new MemoryLog();
    const text = early.proof(early.put(headOf(rows[4]!)), await early.checkpoint(T0));
    const report = await verify(
      given(rows.slice(0, 6), { proof: () => ({ ...proof, text }) }),
      logOf(await longer.files()),
    );
    assert.deepEqual([codesOf(report), report.facts.heads_since, report.facts.covered_to], [[], 1, 4]);
  });

  it('one change anywhere is found', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(9), fc.nat(10_000), fc.integer({ min: 1, max: 255 }), async (at, where, by) => {
        const bytes = Buffer.from(rows[at]!.text);
        bytes[where % bytes.length] = bytes[where % bytes.length]! ^ by;
        const texts = rows.map(({ text }, index) => (index === at ? bytes.toString() : text));
        const report = await verify(given(texts));
        assert.ok(report.findings_count >= 1 && report.exit_code !== 0);
      }),
      { numRuns: 300 },
    );
  });
});

describe('an audit row', () => {
  it('keeps whatever details there are in one form', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.anything({ withBigInt: true })), (details) => {
        const row = makeAuditRow(null, { ...eventOf(0), details });
        assert.deepEqual(readAuditRow(row.text), row);
        assert.equal(row.sha256, auditRowHash(row.text));
        assert.ok(!row.text.includes('\\u0000'));
      }),
    );
    const numbers = makeAuditRow(null, {
      ...eventOf(1),
      details: { half: 0.5, big: 2 ** 60, none: Number.NaN, zero: -0 },
    });
    assert.deepEqual(numbers.event.details, { half: '0.5', big: String(2 ** 60), none: 'NaN', zero: 0 });
    const large = makeAuditRow(null, { ...eventOf(1), details: { text: 'x'.repeat(2_000_000) } });
    assert.deepEqual(Object.keys(large.event.details as object), ['omitted_bytes']);
  });

  it('is refused in any other form', () => {
    const { text } = rows[1]!;
    for (const bad of ['', '{}', ` ${text}`, text.replace('"v":1', '"v":2'), text.replace('{"at":1}', '[]')])
      assert.throws(() => readAuditRow(bad), DecodeError, bad.slice(0, 40));
  });

  it('stands between the lines that begin and end an export', () => {
    const begin = auditExportBegin({ exported_us: T0, exported_by: 'ada', unchained: 3 });
    const end = auditExportEnd({ rows: 1, proof: { sequence: 4, text: 'p' } });
    const [first, row, last] = [begin, rows[0]!.text, end].map(readAuditLine);
    assert.ok(first?.is === 'begin' && first.begin.unchained === 3);
    assert.ok(row?.is === 'row' && row.text === rows[0]!.text);
    assert.ok(last?.is === 'end' && last.end.proof?.sequence === 4);
    assert.throws(() => readAuditLine('{"kind":"else","v":1}'), DecodeError);
  });
});

describe('its entry in the log', () => {
  it('names the row and the chain, and is no record of a session', () => {
    const fields = parseLogEntry(headOf(rows[4]!));
    assert.deepEqual(fields, { kind: 'audit', recordSha256: rows[4]!.sha256, subject: chain });
    const first = headOf(rows[4]!).slice(0, 40);
    first[3] = 0x31;
    assert.equal(parseLogEntry(first), null);
  });
});
