/** One question to the indexes of many recordings. */
import { isLucidError, LucidError, type SearchedRecording, type SessionDocument } from '@lucid-sessions/contract';
import type { IndexEventKind, IndexSearch } from '@lucid-sessions/recording/session-index';
import { writeAudit } from './audit.ts';
import type { Call, Handlers } from './call.ts';
import { addCustody } from './custody.ts';
import { mayDo } from './people/callers.ts';
import { withinQuery } from './scope-gate.ts';
import { isOnRequest } from './viewing-gate.ts';
import { recordingUrl } from './views.ts';

type SearchCall = Call<'searchRecordings'>;

const pageSize = 500;
/** Recordings under way at once: most of their time is waiting for storage. */
const lanes = 16;
/** Longer than a person waits; what is left is asked for by another question. */
const secondsMax = 20;

async function audit(call: SearchCall, success: boolean, outcome: Record<string, unknown>): Promise<void> {
  const { api, user, body } = call;
  // What was searched for can be a secret itself: it is not written down.
  const { text: _text, recordings_max: _recordings, hits_max: _hits, ...asked } = body;
  await writeAudit(api, {
    event: success ? 'recordings_searched' : 'permission_denied',
    userId: user.userId,
    resourceId: null,
    ipAddress: null,
    userAgent: null,
    success,
    errorMessage: success ? null : 'not permitted',
    details: { ...asked, ...outcome },
  });
}

async function admit(call: SearchCall): Promise<void> {
  const { body, user } = call;
  if (body.logon && !body.inputs)
    throw new LucidError('invalidRequest', 'logon shows more of what inputs shows: ask for both');
  if (!body.inputs || mayDo(user, 'recordings:inputs')) return;
  await audit(call, false, {});
  throw new LucidError('forbidden', 'to search typed and copied texts needs the right recordings:inputs', {
    details: { permissions: ['recordings:inputs'] },
  });
}

function isMeant({ user, host, from }: SearchCall['body'], session: SessionDocument): boolean {
  const { rdp_config, metadata, created_by, started_at } = session;
  const same = (name: string | null | undefined): boolean => name?.toLowerCase() === user?.toLowerCase();
  return (
    started_at !== null &&
    (from === undefined || Date.parse(session.created_at) >= Date.parse(from)) &&
    (host === undefined || rdp_config.host.toLowerCase() === host.toLowerCase()) &&
    (user === undefined || same(rdp_config.username) || same(metadata.owner) || same(created_by))
  );
}

/** Newest first, each once, however the list moves meanwhile. */
async function* meant(call: SearchCall): AsyncGenerator<SessionDocument, void, undefined> {
  const { api, body } = call;
  const { project, environment, status, from, to } = body;
  const within = await withinQuery(call);
  const seen = new Set<string>();
  for (let offset = 0; ; offset += pageSize) {
    const { sessions } = await api.deps.storage.listSessions({
      ...within,
      limit: pageSize,
      offset,
      ...(status === undefined ? {} : { status }),
      ...(project === undefined ? {} : { project }),
      ...(environment === undefined ? {} : { environment }),
    });
    for (const session of sessions) {
      if (from !== undefined && Date.parse(session.created_at) < Date.parse(from)) return;
      if ((to !== undefined && Date.parse(session.created_at) > Date.parse(to)) || seen.has(session.session_id))
        continue;
      seen.add(session.session_id);
      if (isMeant(body, session)) yield session;
    }
    if (sessions.length < pageSize) return;
  }
}

/** What is found in one; null where it can't be read. */
async function searchOne(
  { api }: SearchCall,
  sessionId: string,
  search: IndexSearch,
): Promise<SearchedRecording | null> {
  try {
    return await api.deps.sessionIndexes!.search(sessionId, search);
  } catch (thrown) {
    // Of one recording: the others are searched all the same.
    if (isLucidError(thrown, 'unavailable')) throw thrown;
    if (!isLucidError(thrown)) api.deps.onError?.('search', thrown);
    return null;
  }
}

async function look(call: SearchCall) {
  const { api, body } = call;
  const { text, kind, inputs, logon, hits_max: foundMax } = body;
  const search: IndexSearch = {
    text,
    inputs,
    logon,
    foundMax,
    ...(kind === undefined ? {} : { kind: kind as IndexEventKind }),
  };
  const endsUs = api.deps.nowUs() + secondsMax * 1e6;
  const found: { session: SessionDocument; searched: SearchedRecording }[] = [];
  const counts = { searched: 0, not_indexed: 0, on_request: 0, unreadable: 0 };
  const running: { session: SessionDocument; result: Promise<SearchedRecording | null> }[] = [];
  let continueAt: string | null = null;
  const settle = async (): Promise<void> => {
    const { session, result } = running.shift()!;
    const searched = await result;
    if (searched === null) {
      counts.unreadable += 1;
      return;
    }
    counts.searched += 1;
    if (searched.searchedChunks < searched.chunks) counts.not_indexed += 1;
    if (searched.found.length > 0) found.push({ session, searched });
  };
  for await (const session of meant(call)) {
    if (found.length >= body.recordings_max || api.deps.nowUs() > endsUs) {
      continueAt = session.created_at;
      break;
    }
    if (await isOnRequest(call, session)) {
      counts.on_request += 1;
      continue;
    }
    const result = searchOne(call, session.session_id, search);
    // Whoever waits for it comes later.
    result.catch(() => {});
    running.push({ session, result });
    if (running.length >= lanes) await settle();
  }
  while (running.length > 0) await settle();
  if (found.length > body.recordings_max) continueAt = found[body.recordings_max]!.session.created_at;
  return { found: found.slice(0, body.recordings_max), counts, continueAt };
}

async function searchRecordings(call: SearchCall) {
  const { api, body } = call;
  if (api.deps.sessionIndexes === undefined) throw new LucidError('unavailable', 'this process makes no session index');
  await admit(call);
  if (api.busy.searching) throw new LucidError('unavailable', 'another search is under way; try again in a moment');
  api.busy.searching = true;
  try {
    const { found, counts, continueAt } = await look(call);
    await audit(call, true, { ...counts, found: found.length });
    // Signed before anything leaves.
    if (body.inputs)
      for (const { session } of found)
        await addCustody(
          { ...call, sessionId: session.session_id },
          'view',
          `found by a search of inputs: ${body.reason}`,
        );
    return {
      recordings: found.map(({ session, searched }) => ({
        session_id: session.session_id,
        name: session.name,
        created_at: session.created_at,
        host: session.rdp_config.host,
        user: session.rdp_config.username ?? null,
        recording_url: recordingUrl(session.session_id, api.config.publicUrl),
        hits: searched.found.map(({ timeUs, kind, excerpt }) => ({ time_us: timeUs, kind, excerpt })),
        more: searched.more,
      })),
      ...counts,
      complete: continueAt === null,
      continue_at: continueAt,
    };
  } finally {
    api.busy.searching = false;
  }
}

export const searchHandlers: Handlers<'searchRecordings'> = { searchRecordings };
