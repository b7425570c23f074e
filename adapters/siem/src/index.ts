export { type EventForm, eventForms, eventText, type Producer, severityOf } from './event-forms.ts';
export { type SyslogAddress, SyslogSink, type SyslogSinkOptions, syslogMessage } from './syslog-sink.ts';
export { signWebhook, WebhookSink, type WebhookSinkOptions } from './webhook-sink.ts';
