/** Durable jobs in one SQLite file. */
import { randomUUID } from 'node:crypto';
import { retentionAheadUsMax } from '@lucid-sessions/contract';
import type { ClaimedJob, Job, JobClaim, JobQueue, JobState, NewJob } from '@lucid-sessions/pipeline';
import { guardedSql, type Row, SqliteDatabase, textOrNull } from './sqlite-database.ts';

const migrations = [
  `CREATE TABLE jobs (
     job_id TEXT PRIMARY KEY, kind TEXT NOT NULL, session_id TEXT NOT NULL, payload TEXT NOT NULL,
     run_at_us INTEGER NOT NULL, retries_max INTEGER NOT NULL, state TEXT NOT NULL, retries INTEGER NOT NULL,
     last_error TEXT, lease_until_us INTEGER NOT NULL
   ) WITHOUT ROWID;
   CREATE INDEX jobs_due ON jobs (state, run_at_us);
   CREATE INDEX jobs_by_session ON jobs (session_id);`,
  'ALTER TABLE jobs ADD COLUMN claim TEXT',
];

const jobOf = (row: Row): Job => ({
  jobId: String(row.job_id),
  kind: String(row.kind),
  sessionId: String(row.session_id),
  payload: JSON.parse(String(row.payload)) as Record<string, unknown>,
  runAtUs: Number(row.run_at_us),
  retriesMax: Number(row.retries_max),
  state: String(row.state) as JobState,
  retries: Number(row.retries),
  lastError: textOrNull(row.last_error),
});

export class SqliteJobQueue implements JobQueue {
  readonly #database: SqliteDatabase;

  constructor(path: string) {
    this.#database = new SqliteDatabase(path, migrations);
  }

  async enqueue(job: NewJob): Promise<boolean> {
    return guardedSql(
      () =>
        this.#database.run(
          `INSERT INTO jobs (job_id, kind, session_id, payload, run_at_us, retries_max, state, retries, last_error,
             lease_until_us) VALUES (?, ?, ?, ?, ?, ?, 'waiting', 0, NULL, 0)
           ON CONFLICT (job_id) DO UPDATE SET payload = excluded.payload, run_at_us = excluded.run_at_us,
             retries_max = excluded.retries_max, state = 'waiting', retries = 0, last_error = NULL, lease_until_us = 0,
             claim = NULL WHERE state IN ('done', 'failed')`,
          job.jobId,
          job.kind,
          job.sessionId,
          JSON.stringify(job.payload),
          job.runAtUs,
          job.retriesMax,
        ) === 1,
    );
  }

  async claim({ nowUs, leaseUs, limit }: { nowUs: number; leaseUs: number; limit: number }): Promise<ClaimedJob[]> {
    const claim = randomUUID();
    return guardedSql(() =>
      this.#database.transaction(() => {
        const rows = this.#database.all(
          `SELECT * FROM jobs WHERE (state = 'waiting' AND run_at_us <= ?) OR (state = 'running' AND lease_until_us <= ?)
           ORDER BY run_at_us, job_id LIMIT ?`,
          nowUs,
          nowUs,
          limit,
        );
        for (const row of rows)
          this.#database.run(
            `UPDATE jobs SET state = 'running', lease_until_us = ?, claim = ? WHERE job_id = ?`,
            nowUs + leaseUs,
            claim,
            String(row.job_id),
          );
        return rows.map((row) => ({ ...jobOf(row), state: 'running' as const, claim }));
      }),
    );
  }

  async #settle({ jobId, claim }: JobClaim, assignments: string, ...values: (string | number)[]): Promise<boolean> {
    return guardedSql(() =>
      this.#database.transaction(() => {
        this.#database.run(
          `UPDATE jobs SET ${assignments}, lease_until_us = 0 WHERE job_id = ? AND claim = ? AND state = 'running'`,
          ...values,
          jobId,
          claim,
        );
        return this.#database.get('SELECT 1 FROM jobs WHERE job_id = ? AND claim = ?', jobId, claim) !== undefined;
      }),
    );
  }

  done(job: JobClaim): Promise<boolean> {
    return this.#settle(job, `state = 'done', last_error = NULL`);
  }
  again(job: JobClaim, runAtUs: number, payload: Record<string, unknown>): Promise<boolean> {
    const at = Math.round(runAtUs);
    return this.#settle(job, `state = 'waiting', run_at_us = ?, payload = ?`, at, JSON.stringify(payload));
  }
  retry(job: JobClaim, runAtUs: number, error: string): Promise<boolean> {
    const at = Math.round(runAtUs);
    return this.#settle(job, `state = 'waiting', retries = retries + 1, run_at_us = ?, last_error = ?`, at, error);
  }
  fail(job: JobClaim, error: string): Promise<boolean> {
    return this.#settle(job, `state = 'failed', last_error = ?`, error);
  }

  async listFor(sessionId: string): Promise<Job[]> {
    return guardedSql(() =>
      this.#database.all('SELECT * FROM jobs WHERE session_id = ? ORDER BY job_id', sessionId).map(jobOf),
    );
  }

  /** One file has one runner: whoever was running these died. */
  async takeUp(nowUs: number): Promise<void> {
    await guardedSql(() =>
      this.#database.transaction(() => {
        this.#database.run(
          `UPDATE jobs SET state = 'waiting', lease_until_us = 0, claim = NULL WHERE state = 'running'`,
        );
        this.#database.run(
          `UPDATE jobs SET run_at_us = ? WHERE state = 'waiting' AND kind = 'retention' AND run_at_us > ?`,
          nowUs,
          nowUs + retentionAheadUsMax,
        );
      }),
    );
  }

  async setPaused(sessionId: string, paused: boolean): Promise<number> {
    const [from, to] = paused ? ['waiting', 'paused'] : ['paused', 'waiting'];
    return guardedSql(() =>
      this.#database.run('UPDATE jobs SET state = ? WHERE session_id = ? AND state = ?', to, sessionId, from),
    );
  }

  async revive(sessionId: string, nowUs: number): Promise<number> {
    return guardedSql(() =>
      this.#database.run(
        `UPDATE jobs SET state = 'waiting', retries = 0, run_at_us = ?, claim = NULL WHERE session_id = ? AND state = 'failed'`,
        nowUs,
        sessionId,
      ),
    );
  }

  async removeFor(sessionId: string): Promise<void> {
    await guardedSql(() => this.#database.run('DELETE FROM jobs WHERE session_id = ?', sessionId));
  }

  async list(after: string, limit: number): Promise<Job[]> {
    return guardedSql(() =>
      this.#database.all('SELECT * FROM jobs WHERE job_id > ? ORDER BY job_id LIMIT ?', after, limit).map(jobOf),
    );
  }

  async put(job: Job): Promise<void> {
    const { jobId, kind, sessionId, payload, runAtUs, retriesMax, state, retries, lastError } = job;
    await guardedSql(() =>
      this.#database.run(
        `INSERT OR REPLACE INTO jobs (job_id, kind, session_id, payload, run_at_us, retries_max, state, retries, last_error,
           lease_until_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`,
        ...[jobId, kind, sessionId, JSON.stringify(payload), runAtUs, retriesMax, state, retries, lastError],
      ),
    );
  }

  async countByState(): Promise<Partial<Record<JobState, number>>> {
    return guardedSql(() =>
      Object.fromEntries(
        this.#database
          .all('SELECT state, COUNT(*) AS count FROM jobs GROUP BY state')
          .map((row) => [String(row.state), Number(row.count)]),
      ),
    );
  }

  async nextRunUs(): Promise<number | null> {
    return guardedSql(() => {
      const next = this.#database.get(`SELECT MIN(run_at_us) AS next FROM jobs WHERE state = 'waiting'`)?.next;
      return typeof next === 'number' ? next : null;
    });
  }

  async dispose(): Promise<void> {
    this.#database.close();
  }
}
