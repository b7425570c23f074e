/** Pictures of moments, for viewers that can't decode what was recorded. */
import { LucidError } from '@lucid-sessions/contract';
import { sha256 } from '@lucid-sessions/evidence';
import { withTrace } from '@lucid-sessions/recording';
import { writeAudit } from './audit.ts';
import { type Call, FileAnswer, type Handlers, loadSession } from './call.ts';
import { addCustody } from './custody.ts';
import { digestOf, originOf } from './origin.ts';

/** Told once for all pictures of a viewing, before the first of them leaves. */
async function tellViewing(call: Call<'getPicture'>): Promise<void> {
  const { api, user, sessionId } = call;
  const nowUs = api.deps.nowUs();
  if (!api.viewings.goesOn(user.userId, sessionId, nowUs)) {
    await writeAudit(api, {
      event: 'playback_started',
      userId: user.userId,
      resourceId: sessionId,
      ipAddress: null,
      userAgent: null,
      success: true,
      errorMessage: null,
      details: { view: 'pictures' },
    });
    await addCustody(call, 'view', 'pictures');
  }
  api.viewings.note(user.userId, sessionId, nowUs);
}

async function getPicture(call: Call<'getPicture'>): Promise<FileAnswer> {
  const { api, sessionId, query } = call;
  const session = await loadSession(call);
  const { sessionIndexes } = api.deps;
  if (sessionIndexes === undefined) throw new LucidError('unavailable', 'this process draws no pictures');
  const wish = { timeUs: query.time_us ?? null, pointer: query.pointer };
  const { png, timeUs, h264 } = await sessionIndexes.picture(sessionId, wish);
  await tellViewing(call);
  const trace = { v: 1, session_id: sessionId, merkle_root: session.merkle_root, pixels_sha256: null } as const;
  const traced = withTrace(png, { ...trace, from_us: timeUs, to_us: timeUs });
  return new FileAnswer(traced, null, {
    'x-time-us': String(timeUs),
    'x-h264-decoder': h264 ?? 'none',
    'repr-digest': digestOf(sha256(traced)),
    ...originOf(session),
  });
}

export const pictureHandlers: Handlers<'getPicture'> = { getPicture };
