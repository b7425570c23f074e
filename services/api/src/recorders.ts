/** The recorders there are, as the API asks them: the one that holds a session, or any that takes new ones. */
import { createHash } from 'node:crypto';
import type { PipelinePort, RecorderPort, RecorderPresence, ServiceHealth } from '@lucid-sessions/contract';
import type { DoorRoute } from './doors.ts';

export interface RecordersOptions {
  pipeline: Pick<PipelinePort, 'recorders' | 'recorderOf'>;
  /** Asked where none has said who it is. */
  configured: RecorderPort;
  configuredUrls: readonly string[];
  at: (recorder: RecorderPresence) => RecorderPort;
  nowUs: () => number;
}

const knownUs = 1_000_000;
const sessionsMax = 1000;

export class Recorders {
  readonly #options: RecordersOptions;
  #here: { askedUs: number; recorders: Promise<readonly RecorderPresence[]> } | null = null;
  /** Where a session was, for viewers who ask many times a second. */
  readonly #bySession = new Map<string, { askedUs: number; recorder: Promise<RecorderPort> }>();

  constructor(options: RecordersOptions) {
    this.#options = options;
  }

  #isFresh({ askedUs }: { askedUs: number }): boolean {
    return this.#options.nowUs() - askedUs < knownUs;
  }

  /** Empty: none has said who it is, or the pipeline can't be asked. */
  async #list(): Promise<readonly RecorderPresence[]> {
    if (this.#here === null || !this.#isFresh(this.#here)) {
      const { pipeline, nowUs } = this.#options;
      const asked = pipeline.recorders().then(
        ({ recorders }) => recorders,
        () => [],
      );
      this.#here = { askedUs: nowUs(), recorders: asked };
    }
    return this.#here.recorders;
  }

  /** Those that take new sessions, the one with most room first; of one `key` the same, as long as they are the same. */
  async #open(key: string | null): Promise<RecorderPresence[]> {
    const open = (await this.#list()).filter(({ draining }) => !draining);
    const room = ({ sessions, sessionsMax }: RecorderPresence): number => sessionsMax - sessions;
    if (key === null) return open.sort((a, b) => room(b) - room(a));
    const placeOf = ({ recorderId }: RecorderPresence): string =>
      createHash('sha256').update(`${key}\0${recorderId}`).digest('hex');
    return open.sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
  }

  /**
   * Base URLs of doors for clients, in the order in which they are tried: who asks for a session that is held somewhere comes there
   * and nowhere else, also where that one drains; what has the same key comes to the same one.
   */
  async doors({ sessionId, key }: DoorRoute): Promise<readonly string[]> {
    const holder = sessionId === null ? null : await this.#holderOf(sessionId);
    if (holder !== null) return [holder.url];
    const open = await this.#open(key);
    return open.length === 0 ? this.#options.configuredUrls : open.map(({ url }) => url);
  }

  /** As it is now: a token must not be spent where the session was. Null: none holds it, or the pipeline can't be asked. */
  async #holderOf(sessionId: string): Promise<RecorderPresence | null> {
    try {
      return (await this.#options.pipeline.recorderOf({ sessionId })).recorder;
    } catch {
      return null;
    }
  }

  async #any(): Promise<RecorderPort> {
    const [first] = await this.#open(null);
    return first === undefined ? this.#options.configured : this.#options.at(first);
  }

  #of(sessionId: string): Promise<RecorderPort> {
    const known = this.#bySession.get(sessionId);
    if (known !== undefined && this.#isFresh(known)) return known.recorder;
    for (const [id, asked] of this.#bySession)
      if (!this.#isFresh(asked) || this.#bySession.size >= sessionsMax) this.#bySession.delete(id);
    const { pipeline, at, configured, nowUs } = this.#options;
    const recorder = pipeline
      .recorderOf({ sessionId })
      .then(({ recorder }) => (recorder === null ? configured : at(recorder)));
    recorder.catch(() => {});
    this.#bySession.set(sessionId, { askedUs: nowUs(), recorder });
    return recorder;
  }

  async #health(): Promise<ServiceHealth> {
    const { at, configured } = this.#options;
    const here = await this.#list();
    if (here.length === 0) return configured.health();
    if (here.length === 1) return at(here[0]!).health();
    const all = await Promise.all(here.map(async (recorder) => ({ recorder, ...(await healthOf(at(recorder))) })));
    const ill = all.filter(({ status }) => status !== 'healthy');
    const noneWorks = all.every(({ status }) => status === 'unhealthy');
    const status = noneWorks ? 'unhealthy' : ill.length > 0 ? 'degraded' : 'healthy';
    const details: ServiceHealth['details'] = { recorders: all.length };
    for (const one of all)
      for (const [name, value] of Object.entries(one.details))
        if (typeof value === 'number') details[name] = Number(details[name] ?? 0) + value;
    const said = ill.map(({ recorder, message }) => `${recorder.recorderId}: ${message ?? 'not well'}`);
    return { service: 'recorder', status, message: said.length === 0 ? null : said.join('; ').slice(0, 500), details };
  }

  /** All of them as one. */
  get port(): RecorderPort {
    return {
      stop: async (request) => (await this.#of(request.sessionId)).stop(request),
      pause: async (request) => (await this.#of(request.sessionId)).pause(request),
      resume: async (request) => (await this.#of(request.sessionId)).resume(request),
      message: async (request) => (await this.#of(request.sessionId)).message(request),
      steer: async (request) => (await this.#of(request.sessionId)).steer(request),
      liveFrames: async (request) => (await this.#of(request.sessionId)).liveFrames(request),
      live: async () => {
        const here = await this.#list();
        if (here.length === 0) return this.#options.configured.live();
        const all = await Promise.all(here.map((recorder) => this.#options.at(recorder).live()));
        return {
          sessions: all.flatMap(({ sessions }) => sessions),
          spooled: all.flatMap(({ spooled = [] }) => spooled),
        };
      },
      drain: () => this.#options.configured.drain(),
      replicaState: (request) => this.#options.configured.replicaState(request),
      replicate: (request) => this.#options.configured.replicate(request),
      judgeTarget: async (request) => (await this.#any()).judgeTarget(request),
      checkTarget: async (request) => (await this.#any()).checkTarget(request),
      importCapture: async (request) => (await this.#any()).importCapture(request),
      health: () => this.#health(),
    };
  }
}

async function healthOf(recorder: RecorderPort): Promise<Omit<ServiceHealth, 'service'>> {
  try {
    return await recorder.health();
  } catch {
    return { status: 'unhealthy', message: 'it does not answer', details: {} };
  }
}
