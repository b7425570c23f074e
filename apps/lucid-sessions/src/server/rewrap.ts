/** Rotation of what session keys are wrapped to: every session's wraps are made anew, chunk files and records stay. */
import type { KeyWrap, SessionDocument, StoragePort } from '@lucid-sessions/contract';
import {
  type KeyUnwrapper,
  type KeyWrapper,
  type LocalKey,
  LocalUnwrapper,
  LocalWrapper,
  SHARE_SCHEME,
  type ShareWrapper,
  sharedWrapOf,
  unwrapDek,
  VAULT_TRANSIT_SCHEME,
  wrapDek,
} from '@lucid-sessions/keys';

/** The wraps a session shall have; null when it has them already. `hasEnded`: nothing is sealed with its key any more. */
export type Rewrap = (wraps: KeyWrap[], hasEnded: boolean) => Promise<KeyWrap[] | null>;

export interface RewrapReport {
  sessions: number;
  rewrapped: number;
  /** Their wraps are as they were. */
  failed: { session_id: string; message: string }[];
}

const pageSize = 100;
const failedMax = 1000;

async function dekOf(wraps: KeyWrap[], unwrappers: readonly KeyUnwrapper[]): Promise<Uint8Array> {
  const dek = await unwrapDek(wraps, unwrappers);
  if (dek === null) throw new Error('no key of this installation opens its wraps');
  return dek;
}

/** Wraps under retired local keys become wraps under the present one (the first of `keys`). */
export function toLocalKey(keys: readonly LocalKey[]): Rewrap {
  const [present] = keys;
  const unwrappers = [new LocalUnwrapper(keys)];
  return async (wraps) => {
    const stale = wraps.filter((wrap) => wrap.scheme === 'local' && wrap.recipient !== present?.keyId);
    if (present === undefined || stale.length === 0) return null;
    const dek = await dekOf(stale, unwrappers);
    const fresh = await new LocalWrapper(present).wrap(dek, stale[0]!.keyId);
    const kept = wraps.filter((wrap) => !stale.includes(wrap) && wrap.scheme !== 'local');
    return [fresh, ...kept];
  };
}

/** What `LUCID_RECIPIENTS` and `LUCID_VAULT_*` say; wraps of other schemes stay. */
const outsideSchemes: readonly string[] = ['age', VAULT_TRANSIT_SCHEME];

/** Outside wraps by exactly these wrappers; the local wrap stays. */
export function toRecipients(wrappers: readonly KeyWrapper[], unwrappers: readonly KeyUnwrapper[]): Rewrap {
  const isBy = (wrap: KeyWrap) => (wrapper: KeyWrapper) =>
    wrap.scheme === wrapper.scheme && wrap.recipient === wrapper.recipient;
  return async (wraps) => {
    if (wraps.every(({ scheme }) => scheme === SHARE_SCHEME)) return null;
    const kept = wraps.filter((wrap) => !outsideSchemes.includes(wrap.scheme) || wrappers.some(isBy(wrap)));
    const missing = wrappers.filter((wrapper) => !kept.some((wrap) => isBy(wrap)(wrapper)));
    if (kept.length === wraps.length && missing.length === 0) return null;
    if (kept.length + missing.length === 0) throw new Error('it would be left without a wrap, which is shredding it');
    if (missing.length === 0) return kept;
    const dek = await dekOf(wraps, unwrappers);
    return [...kept, ...(await wrapDek(dek, wraps[0]!.keyId, missing))];
  };
}

/** Keys are the holders' alone where a recording has ended; one that goes on keeps its other wraps until then. */
export function toShares(
  wrapper: ShareWrapper,
  holders: readonly string[],
  unwrappers: readonly KeyUnwrapper[],
): Rewrap {
  return async (wraps, hasEnded) => {
    const shared = sharedWrapOf(wraps);
    const same =
      shared !== null &&
      wrapper.recipient === `${shared.threshold} of ${shared.holders.length}` &&
      holders.every((recipient, at) => shared.holders[at]?.recipient === recipient);
    const others = wraps.filter(({ scheme }) => scheme !== SHARE_SCHEME);
    if (same && (others.length === 0 || !hasEnded)) return null;
    const shares = same ? wraps.filter(({ scheme }) => scheme === SHARE_SCHEME) : [];
    if (!same) shares.push(await wrapper.wrap(await dekOf(wraps, unwrappers), wraps[0]!.keyId));
    return hasEnded ? shares : [...others, ...shares];
  };
}

/** Whom `toRecipients` would take copies from, and in how many sessions. */
export async function droppedRecipients(
  storage: Pick<StoragePort, 'listSessions' | 'getWraps'>,
  wrappers: readonly KeyWrapper[],
  only?: string,
): Promise<Map<string, number>> {
  const dropped = new Map<string, number>();
  for await (const { session_id: sessionId } of sessionsOf(storage, only))
    for (const { scheme, recipient } of (await storage.getWraps({ sessionId })).wraps) {
      const stays = wrappers.some((wrapper) => wrapper.scheme === scheme && wrapper.recipient === recipient);
      if (outsideSchemes.includes(scheme) && !stays) dropped.set(recipient, (dropped.get(recipient) ?? 0) + 1);
    }
  return dropped;
}

async function* sessionsOf(storage: Pick<StoragePort, 'listSessions'>, only?: string): AsyncIterable<SessionDocument> {
  for (let offset = 0; ; offset += pageSize) {
    const { sessions, total } = await storage.listSessions({ limit: pageSize, offset });
    for (const session of sessions) if (only === undefined || session.session_id === only) yield session;
    if (sessions.length === 0 || offset + pageSize >= total) return;
  }
}

/** May be cut off anywhere and run again: each session has its old wraps or its new ones. */
export async function rewrapSessions(
  storage: Pick<StoragePort, 'listSessions' | 'getWraps' | 'putWraps'>,
  rewrap: Rewrap,
  only?: string,
): Promise<RewrapReport> {
  const report: RewrapReport = { sessions: 0, rewrapped: 0, failed: [] };
  for await (const session of sessionsOf(storage, only)) await rewrapSession(storage, rewrap, session, report);
  return report;
}

async function rewrapSession(
  storage: Pick<StoragePort, 'getWraps' | 'putWraps'>,
  rewrap: Rewrap,
  { session_id: sessionId, merkle_root }: SessionDocument,
  report: RewrapReport,
): Promise<void> {
  report.sessions += 1;
  try {
    const { wraps } = await storage.getWraps({ sessionId });
    // None: in clear, or shredded. Neither may get a wrap.
    const next = wraps.length === 0 ? null : await rewrap(wraps, merkle_root !== null);
    if (next === null) return;
    await storage.putWraps({ sessionId, wraps: next });
    report.rewrapped += 1;
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    if (report.failed.length < failedMax) report.failed.push({ session_id: sessionId, message });
  }
}
