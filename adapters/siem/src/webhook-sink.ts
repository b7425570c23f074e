/** Audit events as webhooks, one a request, signed as Standard Webhooks 1 has it (HMAC-SHA256 over id, time and body). */
import { createHmac } from 'node:crypto';
import type { AuditEvent } from '@lucid-sessions/contract';
import type { EventSink } from '@lucid-sessions/pipeline';
import { type EventForm, eventText, type Producer } from './event-forms.ts';

export interface WebhookSinkOptions {
  url: string;
  /** `whsec_` and base64, or any text. */
  secret: string;
  form: EventForm;
  producer: Producer;
  nowMs: () => number;
  timeoutMs?: number;
}

const keyOf = (secret: string): Buffer =>
  secret.startsWith('whsec_') ? Buffer.from(secret.slice('whsec_'.length), 'base64') : Buffer.from(secret);

/** Value of `webhook-signature`. `atSeconds` since 1970. */
export const signWebhook = (secret: string, id: string, atSeconds: number, body: string): string =>
  `v1,${createHmac('sha256', keyOf(secret)).update(`${id}.${atSeconds}.${body}`).digest('base64')}`;

export class WebhookSink implements EventSink {
  readonly name: string;
  readonly #options: WebhookSinkOptions;

  constructor(options: WebhookSinkOptions) {
    // Path and query may hold a key.
    this.name = `webhook ${new URL(options.url).origin}`;
    this.#options = options;
  }

  /** In order; throws at the first that is not taken with 2xx, and says how many were. */
  async send(events: readonly AuditEvent[], onSent: (count: number) => void): Promise<void> {
    for (const [at, event] of events.entries()) {
      await this.#post(event);
      onSent(at + 1);
    }
  }

  async #post(event: AuditEvent): Promise<void> {
    const { url, secret, form, producer, nowMs, timeoutMs = 10_000 } = this.#options;
    const body = eventText(form, event, producer);
    const atSeconds = Math.floor(nowMs() / 1000);
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': form === 'cef' ? 'text/plain; charset=utf-8' : 'application/json',
        'user-agent': `${producer.name}/${producer.version}`,
        'webhook-id': event.eventId,
        'webhook-timestamp': String(atSeconds),
        'webhook-signature': signWebhook(secret, event.eventId, atSeconds, body),
      },
      body,
      // Somebody else's address would get what is for this one.
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`it answered ${response.status}`);
  }

  async dispose(): Promise<void> {}
}
