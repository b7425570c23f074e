/** Where audit events are sent on to, from the environment. */
import { readFileSync } from 'node:fs';
import { type Environment, EnvironmentError, readSecret, readText, readUrl, unreadable } from '@lucid-sessions/kit';
import type { EventSink } from '@lucid-sessions/pipeline';
import { type EventForm, eventForms, type SyslogAddress, SyslogSink, WebhookSink } from '@lucid-sessions/siem';
import { software } from './software.ts';

const defaultPorts = { udp: 514, tcp: 601, tls: 6514 } as const;
const secretCharactersMin = 16;

/** Throws EnvironmentError. None when neither LUCID_SYSLOG_URL nor LUCID_WEBHOOK_URL is set. */
export function openEventSinks(environment: Environment): EventSink[] {
  const sinks: EventSink[] = [];
  const syslog = readText(environment, 'LUCID_SYSLOG_URL', '');
  const webhook = readText(environment, 'LUCID_WEBHOOK_URL', '');
  if (syslog !== '') sinks.push(syslogSink(environment, addressOf(syslog)));
  if (webhook !== '') sinks.push(webhookSink(environment));
  return sinks;
}

function addressOf(text: string): SyslogAddress {
  const [, transport = '', bare = '', host = bare, port] =
    /^(udp|tcp|tls):\/\/(?:\[([0-9a-f:.]+)\]|([^\s/:?#@[\]]+))(?::(\d{1,5}))?\/?$/i.exec(text) ?? [];
  const known = (['udp', 'tcp', 'tls'] as const).find((each) => each === transport.toLowerCase());
  const number = port === undefined && known !== undefined ? defaultPorts[known] : Number(port);
  if (known === undefined || !(number >= 1 && number <= 65_535))
    throw new EnvironmentError(
      'LUCID_SYSLOG_URL',
      'must be udp://HOST, tcp://HOST or tls://HOST, with a port behind it where it is not 514, 601 or 6514',
    );
  return { transport: known, host, port: number };
}

function formOf(environment: Environment, variable: string): EventForm {
  const text = readText(environment, variable, 'json');
  const form = eventForms.find((known) => known === text);
  if (form === undefined) throw new EnvironmentError(variable, `must be one of ${eventForms.join(', ')}`);
  return form;
}

function pemOf(environment: Environment, variable: string): Buffer | undefined {
  const path = readText(environment, variable, '');
  if (path === '') return undefined;
  try {
    return readFileSync(path);
  } catch (error) {
    throw unreadable(variable, path, error);
  }
}

function syslogSink(environment: Environment, address: SyslogAddress): SyslogSink {
  const form = formOf(environment, 'LUCID_SYSLOG_FORMAT');
  const ca = pemOf(environment, 'LUCID_SYSLOG_CA');
  const cert = pemOf(environment, 'LUCID_SYSLOG_CERT');
  const key = pemOf(environment, 'LUCID_SYSLOG_KEY');
  if ((cert === undefined) !== (key === undefined))
    throw new EnvironmentError('LUCID_SYSLOG_KEY', 'and LUCID_SYSLOG_CERT must be given together');
  const tls = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  };
  return new SyslogSink({ address, form, producer: software, tls });
}

const webhookSink = (environment: Environment): WebhookSink =>
  new WebhookSink({
    url: readUrl(environment, 'LUCID_WEBHOOK_URL', ''),
    secret: readSecret(environment, 'LUCID_WEBHOOK_SECRET', secretCharactersMin),
    form: formOf(environment, 'LUCID_WEBHOOK_FORMAT'),
    producer: software,
    nowMs: Date.now,
  });
