/** Durable jobs that any number of runners claim. */
import { randomUUID } from 'node:crypto';
import { retentionAheadUsMax } from '@lucid-sessions/contract';
import type { ClaimedJob, Job, JobClaim, JobQueue, JobState, NewJob } from '@lucid-sessions/pipeline';
import type { PostgresDatabase, Row, Value } from './postgres-database.ts';

const columns = 'jobs.job_id, kind, session_id, payload, run_at_us, retries_max, state, retries, last_error';

const jobOf = (row: Row): Job => ({
  jobId: String(row.job_id),
  kind: String(row.kind),
  sessionId: String(row.session_id),
  payload: JSON.parse(String(row.payload)) as Record<string, unknown>,
  runAtUs: Number(row.run_at_us),
  retriesMax: Number(row.retries_max),
  state: String(row.state) as JobState,
  retries: Number(row.retries),
  lastError: row.last_error as string | null,
});

const longestWaiting = (a: Job, b: Job) => a.runAtUs - b.runAtUs || (a.jobId < b.jobId ? -1 : 1);

export class PostgresJobQueue implements JobQueue {
  readonly #database: PostgresDatabase;

  constructor(database: PostgresDatabase) {
    this.#database = database;
    database.share();
  }

  enqueue({ jobId, kind, sessionId, payload, runAtUs, retriesMax }: NewJob): Promise<boolean> {
    const text = JSON.stringify(payload);
    return this.#database.work(async (session, again) => {
      const queued = await session.run(
        `INSERT INTO jobs (job_id, kind, session_id, payload, run_at_us, retries_max, state, retries, last_error,
           lease_until_us) VALUES ($1, $2, $3, $4, $5, $6, 'waiting', 0, NULL, 0)
         ON CONFLICT (job_id) DO UPDATE SET payload = excluded.payload, run_at_us = excluded.run_at_us,
           retries_max = excluded.retries_max, state = 'waiting', retries = 0, last_error = NULL, lease_until_us = 0,
           claim = NULL WHERE jobs.state IN ('done', 'failed')`,
        [jobId, kind, sessionId, text, Math.round(runAtUs), retriesMax],
      );
      // One that was lost on the way is queued as it was asked for.
      return queued === 1 || again;
    });
  }

  async claim({ nowUs, leaseUs, limit }: { nowUs: number; leaseUs: number; limit: number }): Promise<ClaimedJob[]> {
    const claim = randomUUID();
    const rows = await this.#database.rows(
      `WITH due AS (
         SELECT job_id FROM jobs WHERE (state = 'waiting' AND run_at_us <= $1) OR (state = 'running' AND lease_until_us <= $1)
           ORDER BY run_at_us, job_id LIMIT $2 FOR UPDATE SKIP LOCKED)
       UPDATE jobs SET state = 'running', lease_until_us = $3, claim = $4 FROM due WHERE jobs.job_id = due.job_id RETURNING ${columns}`,
      [Math.round(nowUs), limit, Math.round(nowUs + leaseUs), claim],
    );
    return rows.map((row) => ({ ...jobOf(row), claim })).sort(longestWaiting);
  }

  #settle({ jobId, claim }: JobClaim, assignments: string, ...values: Value[]): Promise<boolean> {
    return this.#database.work(async (session) => {
      const settled = await session.run(
        `UPDATE jobs SET ${assignments}, lease_until_us = 0 WHERE job_id = $1 AND claim = $2 AND state = 'running'`,
        [jobId, claim, ...values],
      );
      if (settled === 1) return true;
      const rows = await session.rows('SELECT 1 FROM jobs WHERE job_id = $1 AND claim = $2', [jobId, claim]);
      return rows.length === 1;
    });
  }

  done(job: JobClaim): Promise<boolean> {
    return this.#settle(job, `state = 'done', last_error = NULL`);
  }
  again(job: JobClaim, runAtUs: number, payload: Record<string, unknown>): Promise<boolean> {
    const at = Math.round(runAtUs);
    return this.#settle(job, `state = 'waiting', run_at_us = $3, payload = $4`, at, JSON.stringify(payload));
  }
  retry(job: JobClaim, runAtUs: number, error: string): Promise<boolean> {
    const at = Math.round(runAtUs);
    return this.#settle(job, `state = 'waiting', retries = retries + 1, run_at_us = $3, last_error = $4`, at, error);
  }
  fail(job: JobClaim, error: string): Promise<boolean> {
    return this.#settle(job, `state = 'failed', last_error = $3`, error);
  }

  async listFor(sessionId: string): Promise<Job[]> {
    const sql = `SELECT ${columns} FROM jobs WHERE session_id = $1 ORDER BY jobs.job_id`;
    return (await this.#database.rows(sql, [sessionId])).map(jobOf);
  }

  /** Jobs that run are another pipeline's, or their lease ends: only clocks that were wrong are mended. */
  async takeUp(nowUs: number): Promise<void> {
    await this.#database.run(
      `UPDATE jobs SET run_at_us = $1 WHERE state = 'waiting' AND kind = 'retention' AND run_at_us > $2`,
      [Math.round(nowUs), Math.round(nowUs + retentionAheadUsMax)],
    );
  }

  setPaused(sessionId: string, paused: boolean): Promise<number> {
    const [from, to] = paused ? ['waiting', 'paused'] : ['paused', 'waiting'];
    return this.#database.run('UPDATE jobs SET state = $1 WHERE session_id = $2 AND state = $3', [
      to!,
      sessionId,
      from!,
    ]);
  }

  revive(sessionId: string, nowUs: number): Promise<number> {
    return this.#database.run(
      `UPDATE jobs SET state = 'waiting', retries = 0, run_at_us = $1, claim = NULL WHERE session_id = $2 AND state = 'failed'`,
      [Math.round(nowUs), sessionId],
    );
  }

  async removeFor(sessionId: string): Promise<void> {
    await this.#database.run('DELETE FROM jobs WHERE session_id = $1', [sessionId]);
  }

  async list(after: string, limit: number): Promise<Job[]> {
    const sql = `SELECT ${columns} FROM jobs WHERE jobs.job_id > $1 ORDER BY jobs.job_id LIMIT $2`;
    return (await this.#database.rows(sql, [after, limit])).map(jobOf);
  }

  async put(job: Job): Promise<void> {
    const { jobId, kind, sessionId, payload, runAtUs, retriesMax, state, retries, lastError } = job;
    await this.#database.run(
      `INSERT INTO jobs (job_id, kind, session_id, payload, run_at_us, retries_max, state, retries, last_error,
         lease_until_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0)
       ON CONFLICT (job_id) DO UPDATE SET kind = excluded.kind, session_id = excluded.session_id, payload = excluded.payload,
         run_at_us = excluded.run_at_us, retries_max = excluded.retries_max, state = excluded.state,
         retries = excluded.retries, last_error = excluded.last_error, lease_until_us = 0, claim = NULL`,
      [jobId, kind, sessionId, JSON.stringify(payload), runAtUs, retriesMax, state, retries, lastError],
    );
  }

  async countByState(): Promise<Partial<Record<JobState, number>>> {
    const rows = await this.#database.rows('SELECT state, COUNT(*) AS count FROM jobs GROUP BY state');
    return Object.fromEntries(rows.map(({ state, count }) => [String(state), Number(count)]));
  }

  async nextRunUs(): Promise<number | null> {
    const [row] = await this.#database.rows(`SELECT MIN(run_at_us) AS next FROM jobs WHERE state = 'waiting'`);
    return row?.next === null || row === undefined ? null : Number(row.next);
  }

  dispose(): Promise<void> {
    return this.#database.dispose();
  }
}
