import { type ApiClient, ApiError } from '../api/client.ts';
import type { Claims } from '../api/credentials.ts';
import { type Child, h } from './dom.ts';
import { icon } from './icons.ts';

/** What a page gets. `signal` fires when the user leaves it: requests, timers and listeners end with it. */
export interface PageContext {
  api: ApiClient;
  claims: Claims | null;
  signal: AbortSignal;
}

export interface Page {
  title: string;
  content: Child;
}

/** Runs `work` now and then every `periodMs` while the page is open and visible; a run never overlaps the one before. */
export async function repeat(periodMs: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    if (document.visibilityState === 'visible') await work();
    await sleep(periodMs, signal);
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}

/** A failure in words for the user, announced by screen readers. */
export function failure(error: unknown): HTMLElement {
  return h('div', { class: 'notice bad', role: 'alert' }, icon('warning'), h('div', {}, explain(error)));
}

/** Something that was done and may not be right, the same. */
export function warning(text: string): HTMLElement {
  return h('div', { class: 'notice warn', role: 'status' }, icon('warning'), h('div', {}, sentence(text)));
}

/** Whether the same would be done for whoever signs in anew. */
export const wantsSignIn = (error: unknown): boolean =>
  error instanceof ApiError && (error.details as { sign_in_again?: boolean } | null)?.sign_in_again === true;

export function explain(error: unknown): string {
  if (error instanceof ApiError) {
    const isRight = error.status === 403 && error.code === 'LUCID_ERR_3012' && !wantsSignIn(error);
    const hint = isRight ? ' Your roles do not permit it.' : '';
    const reference = error.requestId ? ` (request ${error.requestId})` : '';
    return `${sentence(error.message)}${hint}${reference}`;
  }
  return error instanceof Error ? sentence(error.message) : 'Something went wrong.';
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

function sentence(text: string): string {
  const start = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
}
