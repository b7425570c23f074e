/** Which calls leave a trace in the audit log, and how. */
import type { AuditEvent, AuditEventType, OperationId } from '@lucid-sessions/contract';
import type { Api } from './call.ts';

/** `often`: a page asks for it again and again; within a minute it is told once, with its number. */
interface AuditRule {
  event: AuditEventType;
  read: boolean;
  often?: true;
}

/**
 * Reads of content: the answer leaves only after its event is stored. Changes have happened and can't be held back, and on a
 * disk that takes nothing an operator must be able to look at what there is: those events are kept until they are stored.
 */
export const auditedOperations: Partial<Record<OperationId, AuditRule>> = {
  createSession: { event: 'session_created', read: false },
  importSession: { event: 'session_imported', read: false },
  getSession: { event: 'session_accessed', read: false },
  updateSession: { event: 'session_updated', read: false },
  deleteSession: { event: 'session_deleted', read: false },
  startSession: { event: 'session_started', read: false },
  stopSession: { event: 'session_stopped', read: false },
  pauseSession: { event: 'session_paused', read: false },
  steerSession: { event: 'steering_asked', read: false },
  messageSession: { event: 'session_messaged', read: false },
  decideApproval: { event: 'approval_decided', read: false },
  signRedaction: { event: 'redaction_signed', read: true },
  askViewing: { event: 'viewing_asked', read: false },
  decideViewing: { event: 'viewing_decided', read: false },
  giveShare: { event: 'viewing_share_given', read: false },
  resumeSession: { event: 'session_resumed', read: false },
  issueCredential: { event: 'credential_issued', read: true },
  rdpFile: { event: 'rdp_file_issued', read: true },
  browserToken: { event: 'browser_token_issued', read: true },
  getChunk: { event: 'chunk_accessed', read: true },
  downloadChunk: { event: 'chunk_downloaded', read: true },
  pausePipeline: { event: 'pipeline_stopped', read: false },
  resumePipeline: { event: 'pipeline_started', read: false },
  exportEvidence: { event: 'evidence_exported', read: true },
  verifySession: { event: 'session_verified', read: false },
  liveSession: { event: 'playback_started', read: true },
  getKey: { event: 'playback_started', read: true },
  getIndex: { event: 'index_accessed', read: true },
  listEvents: { event: 'index_accessed', read: true },
  getKeyframe: { event: 'index_accessed', read: true },
  extractContents: { event: 'contents_extracted', read: true },
  setHold: { event: 'legal_hold_set', read: false },
  clearHold: { event: 'legal_hold_cleared', read: false },
  renewEvidence: { event: 'evidence_renewed', read: false },
  eraseSession: { event: 'key_shredded', read: false },
  exportRecords: { event: 'records_exported', read: true },
  listSessions: { event: 'sessions_listed', read: true, often: true },
  listAudit: { event: 'audit_read', read: true, often: true },
  exportAudit: { event: 'audit_exported', read: true },
  signOut: { event: 'user_logout', read: false },
  changePassword: { event: 'account_changed', read: false },
  startTotp: { event: 'account_changed', read: false },
  confirmTotp: { event: 'account_changed', read: false },
  removeTotp: { event: 'account_changed', read: false },
  renewRecoveryCodes: { event: 'account_changed', read: false },
  addPasskey: { event: 'account_changed', read: false },
  removePasskey: { event: 'account_changed', read: false },
  revokeSignIn: { event: 'sign_in_revoked', read: false },
  createToken: { event: 'token_created', read: true },
  revokeToken: { event: 'token_revoked', read: false },
  grantRecording: { event: 'recording_granted', read: false },
  revokeGrant: { event: 'recording_grant_revoked', read: false },
  createTarget: { event: 'target_created', read: false },
  updateTarget: { event: 'target_updated', read: false },
  removeTarget: { event: 'target_removed', read: false },
  checkTarget: { event: 'target_checked', read: false },
  createAlertRule: { event: 'alert_rule_created', read: false },
  replaceAlertRule: { event: 'alert_rule_changed', read: false },
  removeAlertRule: { event: 'alert_rule_removed', read: false },
  createUser: { event: 'user_created', read: false },
  setUp: { event: 'user_invited', read: true },
  updateUser: { event: 'user_updated', read: false },
  removeUser: { event: 'user_removed', read: false },
  inviteUser: { event: 'user_invited', read: true },
  revokeUserSignIns: { event: 'sign_in_revoked', read: false },
  revokeUserToken: { event: 'token_revoked', read: false },
};

export interface AuditFacts {
  event: AuditEventType;
  userId: string | null;
  resourceId: string | null;
  ipAddress: string | null;
  userAgent: string | null;
  success: boolean;
  errorMessage: string | null;
  details: Record<string, unknown>;
}

const userAgentCharactersMax = 300;

function eventOf({ deps }: Api, { event, userAgent, ...rest }: AuditFacts): AuditEvent {
  return {
    ...rest,
    eventId: deps.newId(),
    timestampUs: deps.nowUs(),
    eventType: event,
    userAgent: userAgent?.slice(0, userAgentCharactersMax).replaceAll(/[^\P{Cc}]/gu, '\ufffd') ?? null,
  };
}

/** Throws when it is not stored. */
export async function writeAudit(api: Api, facts: AuditFacts): Promise<void> {
  await api.deps.storage.appendAudit(eventOf(api, facts));
}

/** Never throws, and never loses it: what is not stored now is stored later, and stands in the log until then. */
export async function tellAudit(api: Api, facts: AuditFacts): Promise<void> {
  await api.outbox.put(eventOf(api, facts));
}
