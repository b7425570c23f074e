import type { ImportedFrom, ProcessorPort, SessionDocument } from '@lucid-sessions/contract';
import {
  formatPublicKey,
  type ImportedBody,
  type OpenBody,
  type PublicKey,
  type RecorderBuild,
  recordBase,
  toHex,
} from '@lucid-sessions/evidence';
import { CHUNK_AGE_US_MAX } from '@lucid-sessions/recording';
import type { Compression } from '../pool/compress.ts';

export type OpenRequest = Parameters<ProcessorPort['open']>[0];

export interface RecorderIdentity {
  id: string;
  software: string;
  build: RecorderBuild | undefined;
  key: PublicKey;
}

export const compressionOf = ({ storage_config, recording_config }: SessionDocument): Compression =>
  storage_config.compression_enabled ? recording_config.compression : 'none';

/** What is signed before chunk 0. `dekId` is null when the session is stored in clear. */
export function openBodyOf(
  request: OpenRequest,
  recorder: RecorderIdentity,
  keys: { firstSealKey: Uint8Array; dekId: Uint8Array | null },
  chunkBytesMax: number,
): OpenBody {
  const { session } = request;
  const { host, port, username } = session.rdp_config;
  return {
    ...recordBase('open', session.session_id),
    opened_us: request.openedUs,
    recorder: {
      id: recorder.id,
      software: recorder.software,
      identity_key: formatPublicKey(recorder.key),
      ...(recorder.build === undefined ? {} : { build: recorder.build }),
    },
    first_seal_key: toHex(keys.firstSealKey),
    encryption: keys.dekId === null ? 'none' : 'AES-256-GCM',
    dek_id: keys.dekId === null ? null : toHex(keys.dekId),
    policy: {
      persistence: request.persistence,
      graphics: request.graphics,
      compression: compressionOf(session),
      chunk_bytes_max: chunkBytesMax,
      chunk_age_us_max: CHUNK_AGE_US_MAX,
      ...notKept('input', session.recording_config.input_policy),
      ...notKept('clipboard', session.recording_config.clipboard_policy),
    },
    parties: { created_by: session.created_by, target: `${host}:${port}`, target_user: username ?? null },
    checkpoint: request.checkpoint,
    log_entries: 2,
    ...(session.imported ? { imported: importedBodyOf(session.imported) } : {}),
  };
}

const usOf = (iso: string | null): number | null => (iso === null ? null : Date.parse(iso) * 1000);

function importedBodyOf(imported: ImportedFrom): ImportedBody {
  const { by, at, source_name, source_sha256, capture_sha256, captured_from, captured_to, client, server } = imported;
  return {
    at_us: Date.parse(at) * 1000,
    by,
    source_name,
    source_sha256,
    capture_sha256,
    captured_from_us: usOf(captured_from),
    captured_to_us: usOf(captured_to),
    client,
    server,
  };
}

function notKept<K extends string>(
  what: K,
  policy: 'full' | 'masked' | 'none' | undefined,
): { [name in K]?: 'masked' | 'none' } {
  return policy === undefined || policy === 'full' ? {} : ({ [what]: policy } as { [name in K]: 'masked' | 'none' });
}
