/** Sessions: documents as JSON beside the fields they are found by. A document is replaced at its version only. */
import {
  clientNamesOf,
  hasHolds,
  mstscNameLength,
  routableInTurn,
  routableStatuses,
  type SessionDocument,
  type SessionQuery,
  type SessionSort,
  type SessionStatus,
  searchTextOf,
  sessionOrderOf,
  sessionPlacesOf,
  sessionWord,
  sessionWordKinds,
  storedWordsOf,
  wordText,
} from '@lucid-sessions/contract';
import type { StoredSession } from '@lucid-sessions/storage';
import type { Collection, Filter, Sort } from 'mongodb';
import { guardedMongo, isDuplicate } from './mongo-errors.ts';

export interface SessionDoc {
  _id: string;
  version: number;
  status: string;
  /** Not deleted. */
  listed: boolean;
  /** Not there in what an earlier version wrote, which knew no holds. */
  held?: boolean;
  createdAt: string;
  /** What lists are filtered by and sorted by. */
  startedAt: string;
  name: string;
  user: string;
  client: string;
  target: string;
  projectPlace: string;
  tag: string;
  duration: number;
  size: number;
  outcome: string;
  replay: string;
  /** Each behind its kind. */
  words: string[];
  project: string | null;
  environment: string | null;
  search: string;
  /** What a client may call it by, in lower case, while a connection may lead to it. */
  names: string[];
  /** Not there when it has none. */
  routeToken?: string;
  document: string;
}

const columnOf = {
  created: 'createdAt',
  started: 'startedAt',
  name: 'name',
  status: 'status',
  user: 'user',
  client: 'client',
  target: 'target',
  project: 'projectPlace',
  tag: 'tag',
  duration: 'duration',
  size: 'size',
  outcome: 'outcome',
  replay: 'replay',
} as const satisfies Record<SessionSort, keyof SessionDoc>;

export function fieldsOf(session: SessionDocument) {
  const places = sessionPlacesOf(session);
  const { started: startedAt, project: projectPlace, created: _, ...others } = places;
  return {
    ...columnsOf(session),
    ...others,
    startedAt,
    projectPlace,
    words: storedWordsOf(session),
  };
}

const columnsOf = (session: SessionDocument) => ({
  version: session.version,
  listed: session.status !== 'deleted',
  held: hasHolds(session),
  createdAt: session.created_at,
  project: session.metadata.project ?? null,
  environment: session.metadata.environment ?? null,
  search: searchTextOf(session),
  names: routableStatuses.includes(session.status) ? clientNamesOf(session) : [],
  document: JSON.stringify(session),
});

const documentOf = (doc: Pick<SessionDoc, 'document'> | null): SessionDocument | null =>
  doc === null ? null : (JSON.parse(doc.document) as SessionDocument);

const escapeRegExp = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, (character) => `\\${character}`);

const isGiven = ([, value]: [string, unknown]) => value !== undefined;

function filterOf(query: SessionQuery): Filter<SessionDoc> {
  const { status, project, environment, outcome, replay, held, search } = query;
  const words = sessionWordKinds.flatMap((kind) =>
    query[kind] === undefined ? [] : [wordText(kind, sessionWord(query[kind]))],
  );
  const range = (from: string | number | undefined, to: string | number | undefined) => {
    const bounds = Object.entries({ $gte: from, $lte: to }).filter(isGiven);
    return bounds.length === 0 ? undefined : Object.fromEntries(bounds);
  };
  const fields = {
    ...{ status, project, environment, outcome, replay, held },
    listed: status === undefined && held === undefined ? true : undefined,
    words: words.length === 0 ? undefined : { $all: words },
    $and: query.within?.length
      ? query.within.map(($in) => ({ words: { $in: $in.map((word) => wordText('scope', word)) } }))
      : undefined,
    startedAt: range(query.from, query.to),
    duration: range(query.durationMin, query.durationMax),
    size: range(query.sizeMin, query.sizeMax),
    // Text anywhere in a line: no index serves this, the others narrow it down.
    search: search === undefined ? undefined : new RegExp(escapeRegExp(search.toLowerCase())),
  };
  return Object.fromEntries(Object.entries(fields).filter(isGiven));
}

function orderOf(query: SessionQuery): Sort {
  const { sort, descending } = sessionOrderOf(query);
  if (sort === 'created') return descending ? { createdAt: -1, _id: 1 } : { createdAt: 1, _id: -1 };
  return { [columnOf[sort]]: descending ? -1 : 1, createdAt: -1, _id: 1 };
}

export class MongoSessions {
  readonly #sessions: Collection<SessionDoc>;

  constructor(sessions: Collection<SessionDoc>) {
    this.#sessions = sessions;
  }

  async insert(session: SessionDocument, routeToken: string | null): Promise<boolean> {
    return guardedMongo(async () => {
      try {
        await this.#sessions.insertOne({
          _id: session.session_id,
          ...fieldsOf(session),
          ...(routeToken === null ? {} : { routeToken }),
        });
        return true;
      } catch (thrown) {
        if (isDuplicate(thrown)) return false;
        throw thrown;
      }
    });
  }

  async get(sessionId: string): Promise<SessionDocument | null> {
    return guardedMongo(async () => documentOf(await this.#sessions.findOne({ _id: sessionId })));
  }

  async setRouteToken(sessionId: string, routeToken: string | null): Promise<boolean> {
    const { matchedCount } = await guardedMongo(() =>
      this.#sessions.updateOne(
        { _id: sessionId },
        routeToken === null ? { $unset: { routeToken: '' } } : { $set: { routeToken } },
      ),
    );
    return matchedCount === 1;
  }

  async findByToken(routeToken: string): Promise<SessionDocument | null> {
    return guardedMongo(async () => documentOf(await this.#sessions.findOne({ routeToken })));
  }

  /**
   * By id, or by user name: of the sessions that could be meant, exactly one must fit. What is the id of one and the name of
   * another leads to neither: it would give a session to whoever has the name. An id of a session that is over names it last.
   */
  async findByCookie(cookie: string): Promise<SessionDocument | null> {
    return guardedMongo(async () => {
      const byId = documentOf(await this.#sessions.findOne({ _id: cookie }));
      if (byId !== null && routableStatuses.includes(byId.status))
        return (await this.#isNameOfAnother(cookie, byId.session_id)) ? null : byId;
      const named = await this.#theOneNamed(cookie.toLowerCase(), cookie);
      return named === 'none' ? byId : named;
    });
  }

  /** A name that is whole, and where mstsc may have cut it one that begins so. */
  #filters(name: string, except: string): Filter<SessionDoc>[] {
    const other = { _id: { $ne: except } };
    const isCut = [...name].length === mstscNameLength;
    return [{ ...other, names: name }, ...(isCut ? [{ ...other, names: new RegExp(`^${escapeRegExp(name)}`) }] : [])];
  }

  async #isNameOfAnother(cookie: string, sessionId: string): Promise<boolean> {
    for (const filter of this.#filters(cookie.toLowerCase(), sessionId))
      if ((await this.#sessions.findOne(filter, { projection: { _id: 1 } })) !== null) return true;
    return false;
  }

  /** The first kind of fit that there is decides; null: several of it. A name that is whole goes before one that was cut. */
  async #theOneNamed(name: string, except: string): Promise<SessionDocument | null | 'none'> {
    for (const statuses of routableInTurn)
      for (const filter of this.#filters(name, except)) {
        const fits = await this.#sessions
          .find({ ...filter, status: { $in: [...statuses] } })
          .limit(2)
          .toArray();
        if (fits.length > 0) return fits.length === 1 ? documentOf(fits[0]!) : null;
      }
    return 'none';
  }

  async list(query: SessionQuery): Promise<{ sessions: SessionDocument[]; total: number }> {
    const { limit, offset } = query;
    const filter = filterOf(query);
    return guardedMongo(async () => {
      const page = this.#sessions.find(filter).project<Pick<SessionDoc, 'document'>>({ document: 1 });
      const [docs, total] = await Promise.all([
        // To MongoDB a limit of 0 is none.
        limit === 0 ? [] : page.sort(orderOf(query)).skip(offset).limit(limit).toArray(),
        this.#sessions.countDocuments(filter),
      ]);
      return { sessions: docs.map((doc) => documentOf(doc)!), total };
    });
  }

  async listStored(after: string, limit: number): Promise<StoredSession[]> {
    const docs = await guardedMongo(() =>
      this.#sessions
        .find({ _id: { $gt: after } })
        .sort({ _id: 1 })
        .limit(limit)
        .toArray(),
    );
    return docs.map((doc) => ({ session: documentOf(doc)!, routeTokenSha256: doc.routeToken ?? null }));
  }

  async count(): Promise<Partial<Record<SessionStatus, number>>> {
    const groups = await guardedMongo(() =>
      this.#sessions
        .aggregate<{ _id: string; count: number }>([{ $group: { _id: '$status', count: { $sum: 1 } } }], {
          hint: 'by_status',
        })
        .toArray(),
    );
    return Object.fromEntries(groups.map(({ _id, count }) => [_id, Number(count)]));
  }

  async replace(session: SessionDocument, expectedVersion: number): Promise<boolean> {
    const { matchedCount } = await guardedMongo(() =>
      this.#sessions.updateOne({ _id: session.session_id, version: expectedVersion }, { $set: fieldsOf(session) }),
    );
    return matchedCount === 1;
  }
}
