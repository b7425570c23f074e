/** Audit events as others read them: JSON as the REST API gives it, CEF (ArcSight, version 0) and OCSF 1.3. */
import { type AlertSeverity, type AuditEvent, alertSeverities, isoOf } from '@lucid-sessions/contract';

export const eventForms = ['json', 'cef', 'ocsf'] as const;
export type EventForm = (typeof eventForms)[number];

export interface Producer {
  name: string;
  version: string;
}

/** Somebody has to be woken: the evidence itself is contradicted. */
const alarms: ReadonlySet<string> = new Set(['log_contradicted', 'anchor_equivocation', 'log_restored']);

export type Severity = 'alarm' | 'failure' | 'success' | AlertSeverity;

export function severityOf({ eventType, success, details }: AuditEvent): Severity {
  if (alarms.has(eventType)) return 'alarm';
  const raised = eventType === 'alert_raised' ? alertSeverities.find((name) => name === details.severity) : undefined;
  return raised ?? (success ? 'success' : 'failure');
}

export function eventText(form: EventForm, event: AuditEvent, producer: Producer): string {
  if (form === 'cef') return cefOf(event, producer);
  return JSON.stringify(form === 'ocsf' ? ocsfOf(event, producer) : jsonOf(event));
}

const jsonOf = (event: AuditEvent): Record<string, unknown> => ({
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
});

const wordsOf = ({ eventType }: AuditEvent): string => {
  const words = eventType.replaceAll('_', ' ');
  return words.slice(0, 1).toUpperCase() + words.slice(1);
};

/** 0 to 10. */
const cefSeverity: Record<Severity, number> = {
  ...{ alarm: 10, failure: 6, success: 3 },
  ...{ low: 3, medium: 5, high: 8, critical: 10 },
};
const cefHeader = (text: string): string => text.replaceAll(/[\\|]/g, '\\$&').replaceAll(/[\r\n]+/g, ' ');
const cefValue = (text: string): string =>
  text.replaceAll(/[\\=]/g, '\\$&').replaceAll('\r', '\\r').replaceAll('\n', '\\n');

function cefOf(event: AuditEvent, { name, version }: Producer): string {
  const severity = severityOf(event);
  const header = [
    'CEF:0',
    'Lucid Sessions',
    name,
    version,
    event.eventType,
    wordsOf(event),
    String(cefSeverity[severity]),
  ];
  const { ipAddress, userId, resourceId, userAgent, errorMessage, details } = event;
  const fields: [string, string | null][] = [
    ['externalId', event.eventId],
    ['rt', String(Math.floor(event.timestampUs / 1000))],
    ['outcome', event.success ? 'success' : 'failure'],
    ['src', ipAddress !== null && !ipAddress.includes(':') ? ipAddress : null],
    ['c6a2', ipAddress?.includes(':') ? ipAddress : null],
    ['c6a2Label', ipAddress?.includes(':') ? 'Source IPv6 Address' : null],
    ['suser', userId],
    ['requestClientApplication', userAgent],
    ['cs1', resourceId],
    ['cs1Label', resourceId === null ? null : 'session'],
    ['cs2', Object.keys(details).length === 0 ? null : JSON.stringify(details)],
    ['cs2Label', Object.keys(details).length === 0 ? null : 'details'],
    ['msg', errorMessage],
  ];
  const extension = fields.flatMap(([key, value]) => (value === null ? [] : [`${key}=${cefValue(value)}`]));
  return `${header.map((part, at) => (at === 0 ? part : cefHeader(part))).join('|')}|${extension.join(' ')}`;
}

const rdpActivity = 4005;
const apiActivity = 6003;
const detectionFinding = 2004;
const ocsfSeverity: Record<Severity, number> = {
  ...{ alarm: 5, failure: 3, success: 1 },
  ...{ low: 2, medium: 3, high: 4, critical: 5 },
};

/** Connections are RDP Activity (4005), alarms and alerts Detection Findings (2004), all else API Activity (6003). */
function ocsfOf(event: AuditEvent, { name, version }: Producer): Record<string, unknown> {
  const { eventId, eventType, userId, resourceId, ipAddress, userAgent, success, errorMessage, details } = event;
  const severity = severityOf(event);
  const classUid =
    severity === 'alarm' || eventType === 'alert_raised'
      ? detectionFinding
      : eventType.startsWith('connection_')
        ? rdpActivity
        : apiActivity;
  // Other, in each class: what it was stands in activity_name.
  const activity = 99;
  const timeMs = Math.floor(event.timestampUs / 1000);
  return {
    activity_id: activity,
    activity_name: eventType,
    category_uid: Math.floor(classUid / 1000),
    class_uid: classUid,
    type_uid: classUid * 100 + activity,
    time: timeMs,
    severity_id: ocsfSeverity[severity],
    status_id: success ? 1 : 2,
    ...(errorMessage === null ? {} : { status_detail: errorMessage }),
    message: errorMessage ?? wordsOf(event),
    metadata: { version: '1.3.0', uid: eventId, product: { name, version, vendor_name: 'Lucid Sessions' } },
    ...(ipAddress === null ? {} : { src_endpoint: { ip: ipAddress } }),
    actor: userId === null ? { app_name: name } : { user: { uid: userId, name: userId } },
    ...(classUid === apiActivity
      ? { api: { operation: eventType }, ...(userAgent === null ? {} : { http_request: { user_agent: userAgent } }) }
      : {}),
    ...(classUid === detectionFinding
      ? { finding_info: { uid: eventId, title: wordsOf(event), created_time: timeMs } }
      : {}),
    ...(resourceId === null ? {} : { resources: [{ uid: resourceId, type: 'session' }] }),
    unmapped: details,
  };
}
