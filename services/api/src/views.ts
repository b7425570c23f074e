/** Stored documents as the contract answers them. */
import {
  type AuditEvent,
  type auditEventSchema,
  type ChunkMetadata,
  type chunkDetail,
  type chunkSchema,
  isoOf,
  LucidError,
  type PipelineStatus,
  type pipelineAnswer,
  type SessionDocument,
  type sessionSchema,
} from '@lucid-sessions/contract';
import { decodeLeafFlags, type LeafFlags } from '@lucid-sessions/evidence';
import type { z } from 'zod';

export const isoOrNull = (atUs: number | null) => (atUs === null ? null : isoOf(atUs));

export function paginationOf(total: number, { limit, offset }: { limit: number; offset: number }) {
  return { total, limit, offset, has_next: offset + limit < total, has_previous: offset > 0 };
}

/** Every field is named: a field that is added to the document does not reach the outside by itself. */
export function sessionView(session: SessionDocument, publicUrl: string): z.output<typeof sessionSchema> {
  return {
    session_id: session.session_id,
    name: session.name,
    description: session.description,
    status: session.status,
    created_at: session.created_at,
    started_at: session.started_at,
    stopped_at: session.stopped_at,
    created_by: session.created_by,
    target_id: session.target_id ?? null,
    target_version: session.target_version ?? null,
    rdp_config: session.rdp_config,
    credentials: session.credentials ?? 'none',
    recording_config: session.recording_config,
    storage_config: session.storage_config,
    metadata: session.metadata,
    statistics: session.statistics,
    end_reason: session.end_reason,
    end_message: session.end_message,
    last_attempt: session.last_attempt ?? null,
    outcome: session.outcome ?? null,
    replay: session.replay ?? null,
    gateway_logon: logonView(session),
    came_by: session.came_by ?? null,
    client_address: session.client_address ?? null,
    client_name: session.client_name ?? null,
    client_user: session.client_user ?? null,
    connections: session.connections ?? (session.started_at === null ? 0 : 1),
    reconnect_until: session.reconnect_until ?? null,
    merkle_root: session.merkle_root,
    alerts: session.alerts ?? null,
    legal_holds: session.holds?.length ?? 0,
    imported: session.imported ?? null,
    pipeline_state: session.pipeline_state,
    recording_url: recordingUrl(session.session_id, publicUrl),
  };
}

function logonView({ gateway_logon: logon }: SessionDocument): z.output<typeof sessionSchema>['gateway_logon'] {
  if (!logon) return null;
  return { username: logon.user, issued_at: logon.issued_at, expires_at: logon.expires_at };
}

export const recordingUrl = (sessionId: string, publicUrl: string) => `${publicUrl}/sessions/${sessionId}`;

export const storedRatio = (storedBytes: number, recordedBytes: number) =>
  recordedBytes > 0 ? Math.min(1, Number((storedBytes / recordedBytes).toFixed(4))) : 0;

const qualityOf = ({ gapBefore, recovered }: LeafFlags) => 100 - (gapBefore ? 50 : 0) - (recovered ? 10 : 0);

export function chunkView(chunk: ChunkMetadata): z.output<typeof chunkSchema> {
  return {
    chunk_id: chunk.chunkId,
    session_id: chunk.sessionId,
    sequence_number: chunk.index + 1,
    timestamp: isoOf(chunk.openedUs),
    status: 'stored',
    size_bytes: chunk.fileBytes,
    duration_seconds: Math.max(0, (chunk.closedUs - chunk.openedUs) / 1_000_000),
    frame_count: chunk.framesCount,
    merkle_hash: chunk.leafHash,
    storage_path: chunk.storagePath,
    compression_ratio: storedRatio(chunk.fileBytes, chunk.payloadBytes),
    quality_score: qualityOf(decodeLeafFlags(chunk.flags)),
    encryption_key_id: chunk.keyId,
    file_sha256: chunk.fileSha256,
  };
}

export function chunkDetailView(chunk: ChunkMetadata): z.output<typeof chunkDetail> {
  const flags = decodeLeafFlags(chunk.flags);
  return {
    ...chunkView(chunk),
    processing_info: {
      compression_ratio: storedRatio(chunk.fileBytes, chunk.payloadBytes),
      compression: chunk.compression,
      encryption_enabled: chunk.keyId !== '',
      quality_score: qualityOf(flags),
      recorded_bytes: chunk.payloadBytes,
      stored_at: isoOf(chunk.storedAtUs),
      recovered: flags.recovered,
      gap_before: flags.gapBefore,
      final: flags.final,
    },
  };
}

export function pipelineView(status: PipelineStatus): z.output<typeof pipelineAnswer> {
  const stages = status.stages.map((stage) => ({
    stage_name: stage.stageName,
    status: stage.status,
    items_processed: stage.itemsProcessed,
    errors_count: stage.errorsCount,
    processing_time_ms: stage.processingTimeMs,
    throughput_per_second: stage.throughputPerSecond,
    retry_count: stage.retryCount,
    max_retries: stage.maxRetries,
    last_error: stage.lastError,
  }));
  const stored = stages.find((stage) => stage.stage_name === 'storage');
  return {
    session_id: status.sessionId,
    pipeline_status: status.pipelineStatus,
    state: status.state,
    stages,
    overall_metrics: {
      items_processed: stored?.items_processed ?? 0,
      errors_count: stages.reduce((sum, stage) => sum + stage.errors_count, 0),
      processing_time_ms: stored?.processing_time_ms ?? 0,
      throughput_per_second: stored?.throughput_per_second ?? 0,
    },
  };
}

export function auditView(event: AuditEvent): z.output<typeof auditEventSchema> {
  return {
    event_id: event.eventId,
    timestamp: isoOf(event.timestampUs),
    event_type: event.eventType,
    user_id: event.userId,
    resource_id: event.resourceId,
    ip_address: event.ipAddress,
    user_agent: event.userAgent,
    success: event.success,
    error_message: event.errorMessage,
    details: event.details,
  };
}

export function sessionNotFound(sessionId: string): LucidError {
  return new LucidError('sessionNotFound', 'no such session', { details: { session_id: sessionId } });
}

export function chunkNotFound(chunkId: string): LucidError {
  return new LucidError('chunkNotFound', 'this session has no such chunk', { details: { chunk_id: chunkId } });
}
