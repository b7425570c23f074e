/** Errors, health and the audit log. */
import { z } from 'zod';
import { errorCodes } from '../errors.ts';
import { pagination, queryInteger, queryTime, timestamp } from './fields.ts';

export const errorAnswer = z.strictObject({
  error: z.strictObject({
    code: z.enum(errorCodes),
    message: z.string(),
    details: z.record(z.string(), z.unknown()),
    request_id: z.string(),
    timestamp,
  }),
});

const healthStatus = z.enum(['healthy', 'degraded', 'unhealthy']);
const serviceHealth = z.strictObject({ status: healthStatus, message: z.string().nullable() });

export const healthAnswer = z.strictObject({
  status: healthStatus,
  timestamp,
  version: z.string(),
  services: z.strictObject({
    api: serviceHealth,
    pipeline: serviceHealth,
    recorder: serviceHealth,
    processor: serviceHealth,
    storage: serviceHealth,
  }),
  database: z.strictObject({ status: healthStatus }),
  storage: z.strictObject({ status: healthStatus, free_percent: z.number().min(0).max(100).nullable() }),
});

export const auditEventTypes = [
  'session_created',
  'session_imported',
  'session_updated',
  'session_deleted',
  'session_started',
  'session_stopped',
  'session_paused',
  'session_messaged',
  'steering_asked',
  'approval_decided',
  'redaction_signed',
  'viewing_asked',
  'viewing_decided',
  'viewing_share_given',
  'session_resumed',
  'session_accessed',
  'chunk_accessed',
  'chunk_downloaded',
  'pipeline_started',
  'pipeline_stopped',
  'user_login',
  'user_logout',
  'permission_denied',
  'audit_chain_began',
  'audit_exported',
  'audit_read',
  'sessions_listed',
  'records_exported',
  'token_refused',
  'configuration_changed',
  'evidence_exported',
  'session_verified',
  'playback_started',
  'index_accessed',
  'inputs_viewed',
  'logon_inputs_viewed',
  'recordings_searched',
  'contents_extracted',
  'rdp_file_issued',
  'browser_token_issued',
  'credential_issued',
  'credential_burnt',
  'key_rotated',
  'key_shredded',
  'anchor_reorged',
  'anchor_restored',
  'anchor_equivocation',
  'evidence_renewed',
  'log_contradicted',
  'log_restored',
  'retention_expired',
  'legal_hold_set',
  'legal_hold_cleared',
  'recording_granted',
  'recording_grant_revoked',
  'target_created',
  'target_updated',
  'target_removed',
  'target_checked',
  'alert_raised',
  'alert_rule_created',
  'alert_rule_changed',
  'alert_rule_removed',
  'user_created',
  'user_updated',
  'user_removed',
  'user_invited',
  'account_changed',
  'sign_in_revoked',
  'token_created',
  'token_revoked',
] as const;
export type AuditEventType = (typeof auditEventTypes)[number];

export const auditEventSchema = z.strictObject({
  event_id: z.string(),
  timestamp,
  event_type: z.string(),
  user_id: z.string().nullable(),
  resource_id: z.string().nullable(),
  ip_address: z.string().nullable(),
  user_agent: z.string().nullable(),
  success: z.boolean(),
  error_message: z.string().nullable(),
  details: z.record(z.string(), z.unknown()),
});

export const listAuditQuery = z.strictObject({
  event_type: z.enum(auditEventTypes).optional(),
  user_id: z.string().min(1).max(200).optional(),
  resource_id: z.string().min(1).max(200).optional(),
  start_time: queryTime,
  end_time: queryTime,
  limit: queryInteger(1, 1000, 100),
  offset: queryInteger(0, 1_000_000_000, 0),
});

export const auditList = z.strictObject({ events: z.array(auditEventSchema), pagination });
