import {
  anyInteger,
  buildSchema,
  importedSchema,
  oneColourSchema,
  replayCounts,
  steeringSchema,
} from '../record/bodies.ts';
import { array, boolean, hex, integer, literal, nullable, object, type Schema, string } from '../record/schema.ts';
import { type CheckId, checks } from './checks.ts';
import { findingCodes, recordingStates, type Verdicts, verdictWords } from './findings.ts';
import type { VerificationReport } from './report.ts';

const us = nullable(integer());
const session = nullable(string(100));

const verdictsSchema = object({
  integrity: literal(...verdictWords.integrity),
  completeness: literal(...verdictWords.completeness),
  origin: literal(...verdictWords.origin),
  time: literal(...verdictWords.time),
  readability: literal(...verdictWords.readability),
  replay: literal(...verdictWords.replay),
} satisfies { [Q in keyof Verdicts]: Schema<Verdicts[Q]> });

/** What `verify --json` prints of a bundle. */
export const reportSchema: Schema<VerificationReport> = object({
  v: literal(1),
  clean: boolean,
  exit_code: integer(0, 255),
  session_id: session,
  verdicts: verdictsSchema,
  findings: array(
    object({
      code: literal(...findingCodes),
      check: literal(...(Object.keys(checks) as CheckId[])),
      message: string(8192),
      file: nullable(string(200)),
      index: nullable(integer()),
    }),
    1000,
  ),
  findings_count: integer(),
  states: array(literal(...recordingStates), recordingStates.length),
  facts: object({
    opened_us: us,
    ended_us: us,
    end_reason: nullable(string(100)),
    chunks_in_manifest: nullable(integer()),
    leaves_count: integer(),
    chunks_checked: integer(),
    chunks_read: integer(),
    frames_read: integer(),
    chunks_recovered: integer(),
    total_bytes: integer(),
    merkle_root: nullable(hex(32)),
    pauses_count: integer(),
    downgrades: array(string(1000), 10_000),
    policy: array(object({ at_us: integer(), what: string(1000), count: integer() }), 10_000),
    steering: steeringSchema,
    build: nullable(buildSchema),
    clock: nullable(
      object({
        offset_us: nullable(anyInteger),
        source: string(200),
        checks_count: integer(),
        most_us: us,
      }),
    ),
    part: nullable(object({ first_chunk: integer(), last_chunk: integer() })),
    imported: nullable(importedSchema),
    not_before_us: us,
    not_after_us: us,
    witnesses_count: integer(),
    anchors_count: integer(),
    anchors_confirmed: integer(),
    log: object({
      size: nullable(integer()),
      records_since: integer(),
      known: integer(),
      not_compared: integer(),
    }),
    progress: nullable(object({ heads: integer(1), leaves_count: integer(), at_us: integer() })),
    custody_count: integer(),
    replay: nullable(
      object(
        { examined_us: us, software: nullable(string(200)), remade: boolean, ...replayCounts },
        { one_colour: oneColourSchema },
      ),
    ),
  }),
});
