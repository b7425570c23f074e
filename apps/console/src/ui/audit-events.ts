/** The audit log's events as a person looks for them. */
import type { AuditFilter } from '../api/client.ts';

type EventType = NonNullable<AuditFilter['event_type']>;

/** Of those with a session as their resource. */
const ofSessions = {
  Sessions: [
    'session_created',
    'session_imported',
    'session_updated',
    'session_started',
    'session_paused',
    'session_resumed',
    'session_stopped',
    'session_deleted',
    'session_messaged',
    'steering_asked',
    'approval_decided',
    'pipeline_started',
    'pipeline_stopped',
    'rdp_file_issued',
    'browser_token_issued',
    'credential_issued',
    'credential_burnt',
    'alert_raised',
  ],
  'Seen and taken out': [
    'session_accessed',
    'playback_started',
    'chunk_accessed',
    'chunk_downloaded',
    'index_accessed',
    'inputs_viewed',
    'logon_inputs_viewed',
    'contents_extracted',
    'evidence_exported',
    'records_exported',
    'redaction_signed',
    'viewing_asked',
    'viewing_decided',
    'viewing_share_given',
    'recording_granted',
    'recording_grant_revoked',
  ],
  'Evidence and its end': [
    'session_verified',
    'legal_hold_set',
    'legal_hold_cleared',
    'retention_expired',
    'key_shredded',
    'evidence_renewed',
    'anchor_reorged',
    'anchor_restored',
    'anchor_equivocation',
  ],
} as const satisfies Record<string, readonly EventType[]>;

export const auditEventGroups: Readonly<Record<string, readonly EventType[]>> = {
  ...ofSessions,
  'Lists and searches': ['sessions_listed', 'recordings_searched', 'audit_read', 'audit_exported'],
  Refused: ['permission_denied', 'token_refused'],
  People: [
    'user_login',
    'user_logout',
    'user_created',
    'user_invited',
    'user_updated',
    'user_removed',
    'account_changed',
    'sign_in_revoked',
    'token_created',
    'token_revoked',
  ],
  'Targets and rules': [
    'target_created',
    'target_updated',
    'target_removed',
    'target_checked',
    'alert_rule_created',
    'alert_rule_changed',
    'alert_rule_removed',
  ],
  'The installation': ['configuration_changed', 'key_rotated', 'audit_chain_began', 'log_contradicted', 'log_restored'],
};

const sessionEvents: ReadonlySet<string> = new Set(Object.values(ofSessions).flat());

/** Whether what an entry is about is a session. */
export const isOfSession = (eventType: string): boolean => sessionEvents.has(eventType);
