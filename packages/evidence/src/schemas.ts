/** Every JSON of the format that has a schema, by the name of its file in `docs/schemas`. */
import { auditBeginSchema, auditEndSchema } from './audit/export.ts';
import { auditRowSchema } from './audit/row.ts';
import {
  anchorSchema,
  bundleSchema,
  consistencySchema,
  progressSchema,
  proofsSchema,
  wrapsSchema,
} from './bundle/files.ts';
import { recordSchemas } from './record/bodies.ts';
import { envelopeSchema } from './record/dsse.ts';
import type { JsonSchema, Schema } from './record/schema.ts';
import { policySchema } from './verify/policy.ts';
import { reportSchema } from './verify/report-schema.ts';

const others = {
  envelope: [envelopeSchema, 'DSSE envelope of a record'],
  bundle: [bundleSchema, 'bundle.json'],
  proofs: [proofsSchema, 'proofs.json of a part'],
  wraps: [wrapsSchema, 'keys/wraps.json'],
  consistency: [consistencySchema, 'log/consistency.json'],
  progress: [progressSchema, 'progress/NNNN.json'],
  anchor: [anchorSchema, 'anchors/NNNN.json'],
  policy: [policySchema, "trust policy of a verifier's caller"],
  report: [reportSchema, 'report of a verifier'],
  'audit-begin': [auditBeginSchema, 'first line of an exported audit log'],
  'audit-row': [auditRowSchema, 'row of the audit log'],
  'audit-end': [auditEndSchema, 'last line of an exported audit log'],
} as const;

const all: [name: string, schema: Schema<unknown>, title: string][] = [
  ...Object.entries(recordSchemas).map(([kind, schema]): [string, Schema<unknown>, string] => [
    kind,
    schema,
    `body of the record ${kind}`,
  ]),
  ...Object.entries(others).map(([name, [schema, title]]): [string, Schema<unknown>, string] => [name, schema, title]),
];

/** What the verifier reads by. Bodies of records have the name of their kind. */
export const formatReaders: ReadonlyMap<string, Schema<unknown>> = new Map(all.map(([name, schema]) => [name, schema]));

/** The same as JSON Schemas (2020-12). */
export const formatSchemas: Readonly<Record<string, JsonSchema>> = Object.fromEntries(
  all.map(([name, schema, title]) => [
    name,
    {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $id: `urn:lucid-sessions:format:1:${name}`,
      title,
      ...schema.json,
    },
  ]),
);
