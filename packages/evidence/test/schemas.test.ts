/** docs/schemas and the verifier take the same JSON: what one refuses the other does. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { DecodeError } from '@lucid-sessions/wire';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import {
  AUDIT_CHAIN_BEGAN,
  auditExportBegin,
  auditExportEnd,
  bundleNames,
  decodeDsse,
  encodeJson,
  formatReaders,
  formatSchemas,
  type Json,
  makeAuditRow,
  parseCanonicalJson,
  readAuditLine,
  readAuditRow,
  readWhole,
  recordBase,
  verifyBundle,
} from '../src/index.ts';
import { kitNames, readKit } from './kit.ts';

const ajv = new Ajv2020({ strict: true, allErrors: false });
const validators = new Map<string, ValidateFunction>(
  Object.keys(formatSchemas).map((name) => {
    const file = join(import.meta.dirname, `../../../docs/schemas/${name}.schema.json`);
    return [name, ajv.compile(JSON.parse(readFileSync(file, 'utf8')))];
  }),
);

/** Lines of an audit log are asked of what `audit verify` reads them by. */
const lineReaders: Readonly<Record<string, (text: string) => boolean>> = {
  'audit-begin': (text) => readAuditLine(text).is === 'begin',
  'audit-row': (text) => readAuditRow(text).text === text,
  'audit-end': (text) => readAuditLine(text).is === 'end',
};

const schemaTakes = (name: string, value: unknown): boolean => validators.get(name)!(value);
function verifierTakes(name: string, value: Json): boolean {
  try {
    const line = lineReaders[name];
    if (line !== undefined) return line(new TextDecoder().decode(encodeJson(value)));
    formatReaders.get(name)!.parse(value, name);
    return true;
  } catch (error) {
    assert.ok(error instanceof DecodeError, String(error));
    return false;
  }
}

const jsonFiles: Readonly<Record<string, string>> = {
  [bundleNames.bundle]: 'bundle',
  [bundleNames.proofs]: 'proofs',
  [bundleNames.wraps]: 'wraps',
  [bundleNames.consistency]: 'consistency',
};

/** The JSON values of one file of a bundle, by schema; none where the bytes are damaged. */
function valuesOf(file: string, bytes: Uint8Array): [name: string, value: Json][] {
  const parsed = (text: Uint8Array): Json => parseCanonicalJson(text, 1 << 22);
  const recordOf = (text: Uint8Array): [string, Json][] => {
    const { payload, payloadType } = decodeDsse(text);
    const kind = /\.(\w+)\+json;v=1$/.exec(payloadType)?.[1] ?? '';
    return [
      ['envelope', parsed(text)],
      [kind, parsed(payload)],
    ];
  };
  try {
    if (file.endsWith('.dsse.json')) return recordOf(bytes);
    if (file === bundleNames.custody) return recordOf(bytes.subarray(0, bytes.indexOf(0x0a)));
    const folders: Record<string, string> = { anchors: 'anchor', progress: 'progress' };
    const name = folders[file.split('/')[0]!] ?? jsonFiles[file];
    return name === undefined ? [] : [[name, parsed(bytes)]];
  } catch (error) {
    if (error instanceof DecodeError) return [];
    throw error;
  }
}

/** What may stand in a value's place: each kind of JSON, and texts and numbers at their limits. */
const strange: Json[] = [
  null,
  true,
  0,
  1,
  -1,
  2 ** 53 - 1,
  '',
  'a',
  'A'.repeat(64),
  'ab'.repeat(32),
  'x'.repeat(5001),
  [],
];

/** One change somewhere in a value: another value, a field more, a field less, an item twice. */
function altered(value: Json, path: readonly number[], put: Json): Json {
  const [step = 0, ...rest] = path;
  if (Array.isArray(value) && value.length > 0 && rest.length > 0)
    return value.map((item, at) => (at === step % value.length ? altered(item, rest, put) : item));
  if (Array.isArray(value) && value.length > 0) return [...value, put];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return put;
  const keys = Object.keys(value);
  if (keys.length === 0) return { ...value, more: put };
  const key = keys[step % keys.length]!;
  if (rest.length > 0) return { ...value, [key]: altered(value[key]!, rest, put) };
  if (step % 3 === 0) return { ...value, [key]: put };
  if (step % 3 === 1) return Object.fromEntries(Object.entries(value).filter(([name]) => name !== key));
  return { ...value, unknown: put };
}

/** It is in no bundle: it goes with a redacted copy. */
const redaction: Json = {
  ...recordBase('redaction', 'demo'),
  at_us: 1_800_000_000_000_000,
  actor: 'ada',
  reason: 'a third person',
  manifest_sha256: 'ab'.repeat(32),
  merkle_root: 'cd'.repeat(32),
  boxes: [{ x: 0, y: 4, width: 10, height: 20, from_us: 0, to_us: 1_000_000 }],
  spans: [{ from_us: 5, to_us: 9 }],
  event_kinds: ['clipboard'],
  events_removed: [{ kind: 'click', count: 2 }],
  chunks: [{ first: 0, last: 3 }],
  renderer: {
    software: 'lucid-sessions 0.1.0',
    rules: 1,
    h264_decoder: null,
    width: 800,
    height: 600,
    frames_per_second: 5,
    pointer: true,
    frames: 50,
  },
  files: [{ name: 'video.mp4', bytes: 100, sha256: 'ef'.repeat(32) }],
};

/** An exported audit log, by schema. */
function auditLines(): Record<string, string[]> {
  const rows: ReturnType<typeof makeAuditRow>[] = [];
  for (const [at, details] of [{ uncovered_rows: 3 }, {}, { a: [1, null, { b: 'x' }], c: 1.5 }].entries())
    rows.push(
      makeAuditRow(rows.at(-1) ?? null, {
        event_id: `e${at}`,
        timestamp_us: 1_800_000_000_000_000 + at,
        event_type: at === 0 ? AUDIT_CHAIN_BEGAN : 'session_created',
        user_id: at === 1 ? 'ada' : null,
        resource_id: null,
        ip_address: '192.0.2.7',
        user_agent: null,
        success: at !== 2,
        error_message: at === 2 ? 'refused' : null,
        details,
      }),
    );
  const end = { rows: rows.length };
  return {
    'audit-begin': [auditExportBegin({ exported_us: 1_800_000_000_000_009, exported_by: 'ada', unchained: 3 })],
    'audit-row': rows.map(({ text }) => text),
    'audit-end': [
      auditExportEnd({ ...end, proof: null }),
      auditExportEnd({ ...end, proof: { sequence: 2, text: 'c2sp.org/tlog-proof@v1\n' } }),
    ],
  };
}

describe('the schemas', () => {
  const samples = new Map<string, Json[]>();

  before(async () => {
    samples.set('redaction', [redaction]);
    for (const [name, lines] of Object.entries(auditLines()))
      samples.set(
        name,
        lines.map((line) => JSON.parse(line) as Json),
      );
    const seen = new Set<string>();
    const add = (name: string, value: Json): void => {
      const text = `${name} ${JSON.stringify(value)}`;
      if (seen.has(text)) return;
      seen.add(text);
      samples.set(name, [...(samples.get(name) ?? []), value]);
    };
    for (const name of kitNames()) {
      const { source, options, policy } = await readKit(name);
      for (const file of await source.list())
        if (!file.name.startsWith('chunks/') && file.name !== bundleNames.leaves)
          for (const [schema, value] of valuesOf(file.name, await readWhole(source, file, 1 << 22))) add(schema, value);
      add('policy', policy as Json);
      add('report', JSON.parse(JSON.stringify(await verifyBundle(source, options))) as Json);
    }
  });

  it('take what the bundles of the kit hold, of each kind, and refuse what the verifier refuses', () => {
    assert.deepEqual([...samples.keys()].sort(), Object.keys(formatSchemas).sort());
    const counted = { taken: 0, refused: 0 };
    for (const [name, values] of samples)
      for (const value of values) {
        const taken = verifierTakes(name, value);
        counted[taken ? 'taken' : 'refused'] += 1;
        assert.equal(schemaTakes(name, value), taken, `${name}: ${JSON.stringify(value).slice(0, 500)}`);
        if (name === 'report' || name === 'policy') assert.ok(taken, JSON.stringify(validators.get(name)!.errors));
      }
    assert.ok(counted.taken > 500, String(counted.taken));
  });

  it('judge every change as the verifier does, and most changes are refused', () => {
    let refused = 0;
    let runs = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...samples.keys()),
        fc.nat(),
        fc.array(fc.nat(60), { minLength: 1, maxLength: 4 }),
        fc.constantFrom(...strange),
        (name, at, path, put) => {
          const values = samples.get(name)!;
          const value = altered(values[at % values.length]!, path, put);
          const taken = verifierTakes(name, value);
          runs += 1;
          if (!taken) refused += 1;
          assert.equal(schemaTakes(name, value), taken, `${name}: ${JSON.stringify(value).slice(0, 500)}`);
        },
      ),
      { numRuns: 5000 },
    );
    assert.ok(refused > runs / 2, `${refused} of ${runs}`);
  });
});
