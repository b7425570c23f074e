/** The lists of names and numbers of the format (docs/format.md, 13), and which of them may grow. */
import { compressionIds } from '@lucid-sessions/recording';
import { RENEWAL_BACKEND } from './anchor/evidence-record.ts';
import { EVM_BACKEND } from './anchor/evm.ts';
import { stampAlgorithms } from './anchor/timestamp.ts';
import { auditFindingCodes } from './audit/findings.ts';
import { anchorSchema } from './bundle/files.ts';
import { chunkSuites } from './envelope/chunk-header.ts';
import { entryKinds, headKinds } from './log/entry.ts';
import { noteAlgorithms } from './log/note.ts';
import { custodySchema, eraseSchema, recordSchemas } from './record/bodies.ts';
import type { JsonSchema, Schema } from './record/schema.ts';
import { TIMESTAMP_BACKEND } from './verify/anchors.ts';
import { findingCodes, recordingStates, verdictWords } from './verify/findings.ts';

export interface Registry {
  name: string;
  values: readonly string[];
  /** Null: the list is closed. Else what a reader does with a value it does not know. */
  unknown: string | null;
}

/** Choices of a field, as its schema has them. */
function choicesOf(schema: Schema<unknown>, field: string): string[] {
  const properties = schema.json.properties as Record<string, JsonSchema>;
  return [...(properties[field]!.enum as string[])];
}

const numbered = (names: Readonly<Record<string, number>>): string[] =>
  Object.entries(names).map(([name, number]) => `${number} ${name}`);
const closed = (name: string, values: readonly string[]): Registry => ({ name, values, unknown: null });
const open = (name: string, values: readonly string[], unknown: string): Registry => ({ name, values, unknown });

/** Ways of wrapping a DEK (6). */
export const wrapSchemes = ['age', 'local', 'share', 'vault-transit'] as const;
/** Kinds of receipts (8). */
export const anchorBackends = ['blockchain-core', EVM_BACKEND, TIMESTAMP_BACKEND, RENEWAL_BACKEND] as const;
/** Why recordings ended (5.2, `end.reason`). */
export const manifestEndReasons = [
  'client_disconnected',
  'server_disconnected',
  'stopped',
  'idle_timeout',
  'handshake_timeout',
  'target_unreachable',
  'target_tls_failed',
  'client_tls_failed',
  'protocol_violation',
  'recording_not_persisted',
  'recorder_shutdown',
  'recorder_crashed',
  'imported',
  'import_failed',
] as const;

export const registries: readonly Registry[] = [
  closed('kinds of records (`payloadType`)', Object.keys(recordSchemas)),
  open('kinds of log entries', numbered({ ...entryKinds, ...headKinds }), 'the entry is passed over'),
  closed('suites of chunks', numbered(chunkSuites)),
  closed('compressions', numbered(compressionIds)),
  closed('keys that sign records', ['ed25519', 'p256']),
  open(
    'signatures of notes',
    numbered(noteAlgorithms),
    'the signature is passed over; a policy with such a key is refused',
  ),
  closed('actions of `custody`', choicesOf(custodySchema, 'action')),
  closed('what an `erase` destroyed', choicesOf(eraseSchema, 'erased')),
  closed('subjects of receipts', choicesOf(anchorSchema, 'subject')),
  closed('states of receipts', choicesOf(anchorSchema, 'status')),
  open('backends of receipts', anchorBackends, 'the receipt is compared (A1 to A5) and stays a claim'),
  closed('algorithms of timestamps', stampAlgorithms),
  open('schemes of wraps', wrapSchemes, 'the wrap is for somebody else'),
  open('reasons of ends', manifestEndReasons, 'it is shown as it is'),
  open('reasons of gaps, `downgrades`, `policy`', [], 'free text, shown as it is'),
  open(
    'kinds of `not_drawn`',
    ['gfx.…', 'order.…', 'bitmap.…', 'surface.…', 'pointer.…', 'update.…', 'pdu.…', 'stream.…', 'sound.…', 'other'],
    'it was not drawn',
  ),
  closed(
    'finding codes',
    findingCodes.map((code) => code),
  ),
  closed('finding codes of an audit log (14)', auditFindingCodes),
  closed('states of a recording', recordingStates),
  ...Object.entries(verdictWords).map(([question, words]) => closed(`words of ${question}`, words)),
];
