import { guardedSql, type SqliteDatabase } from './sqlite-database.ts';

interface Waiting<T, R> {
  readonly item: T;
  readonly result: PromiseWithResolvers<R>;
}

/**
 * One commit for all that came while the disk was busy with the last one: a commit costs a wait for the disk, not for each
 * session its own. Nothing is answered before it is on the disk.
 */
export class GroupCommit<T, R> {
  readonly #database: SqliteDatabase;
  readonly #work: (item: T) => R;
  #waiting: Waiting<T, R>[] = [];

  /** `work` runs inside a transaction. */
  constructor(database: SqliteDatabase, work: (item: T) => R) {
    this.#database = database;
    this.#work = work;
  }

  add(item: T): Promise<R> {
    const result = Promise.withResolvers<R>();
    this.#waiting.push({ item, result });
    // Every call the thread has been sent already is dispatched before this.
    if (this.#waiting.length === 1) setImmediate(() => void this.flush());
    return result.promise;
  }

  /** Commits what waits. Its failure is that of the calls. */
  async flush(): Promise<void> {
    const group = this.#waiting;
    this.#waiting = [];
    if (group.length === 0) return;
    try {
      const results = await this.#commit(group);
      group.forEach(({ result }, at) => {
        result.resolve(results[at]!);
      });
    } catch (thrown) {
      if (group.length === 1) group[0]!.result.reject(thrown);
      // One that can't be done must not spoil the others.
      else for (const { item, result } of group) this.#alone(item, result);
    }
  }

  #alone(item: T, result: PromiseWithResolvers<R>): void {
    this.#commit([{ item, result }]).then(([value]) => result.resolve(value!), result.reject);
  }

  #commit(group: readonly Waiting<T, R>[]): Promise<R[]> {
    return guardedSql(() => this.#database.transaction(() => group.map(({ item }) => this.#work(item))));
  }
}
