/** The desk where captures are handed in: one at a time, because each is held in memory whole. */
import {
  type ImportRequest,
  isoOf,
  LucidError,
  noStatistics,
  type PipelinePort,
  rdpConfigSchema,
  recordingConfigSchema,
  type SessionDocument,
  storageConfigSchema,
} from '@lucid-sessions/contract';
import { type CapturedConnection, openCapturedConnection } from './captured-connection.ts';
import { ImportRun, type ImportRunOptions, readThrough } from './import-run.ts';

export interface ImportsOptions extends Omit<ImportRunOptions, 'sessionId' | 'capture' | 'baseUs'> {
  recorderId: string;
  pipeline: Pick<PipelinePort, 'beginImport'>;
}

export class Imports {
  readonly #options: ImportsOptions;
  #busy = false;
  #closed = false;
  #run: ImportRun | null = null;

  constructor(options: ImportsOptions) {
    this.#options = options;
  }

  /** The one under way. */
  get run(): ImportRun | null {
    return this.#run;
  }

  async begin(request: ImportRequest): Promise<{ session: SessionDocument }> {
    if (this.#closed) throw new LucidError('unavailable', 'the recorder is being shut down');
    if (this.#busy) throw new LucidError('atCapacity', 'another capture is being imported; try again when it is done');
    this.#busy = true;
    try {
      return await this.#begin(request);
    } catch (error) {
      this.#busy = false;
      throw error;
    }
  }

  async #begin(request: ImportRequest): Promise<{ session: SessionDocument }> {
    const { pipeline, recorderId, wallUs } = this.#options;
    const capture = await openCapturedConnection(request.capture);
    // Once without keeping anything: a file nothing can be read of leaves no session behind.
    const { problem, pdus } = await readThrough(capture);
    if (pdus === 0)
      throw new LucidError(
        'invalidRequest',
        `nothing of the connection can be read${problem === null ? '' : `: ${problem}`}`,
      );
    const nowUs = wallUs();
    const baseUs = baseOf(capture, nowUs);
    const asked = documentOf(request, capture, { nowUs, baseUs, problem });
    const { session } = await pipeline.beginImport({ session: asked, recorderId });
    const run = new ImportRun({ ...this.#options, sessionId: request.sessionId, capture, baseUs });
    this.#run = run;
    void run.whenOver.then(() => {
      this.#run = null;
      this.#busy = false;
    });
    return { session };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#run?.stop('recorder_shutdown', 'the recorder is being shut down');
  }
}

/** The capture's own time, unless it names none or one that has not come yet: then it ends with its import. */
function baseOf({ claims, durationUs }: CapturedConnection, nowUs: number): number {
  return claimsTime({ claims, durationUs }, nowUs) ? claims.fromUs! : nowUs - durationUs;
}

const claimsTime = (
  { claims, durationUs }: Pick<CapturedConnection, 'claims' | 'durationUs'>,
  nowUs: number,
): boolean => claims.fromUs !== null && claims.fromUs + durationUs <= nowUs;

/** Where the capture says it went. */
function targetOf(server: string | null): SessionDocument['rdp_config'] {
  const { host = '', port } = /^\[?(?<host>[^\]]+?)\]?(?::(?<port>\d{1,5}))?$/.exec(server ?? '')?.groups ?? {};
  const parsed = rdpConfigSchema.safeParse({ host, ...(port === undefined ? {} : { port: Number(port) }) });
  return parsed.success ? parsed.data : rdpConfigSchema.parse({ host: 'unknown' });
}

function documentOf(
  { sessionId, name, description, by, sourceName, sourceSha256, metadata, retentionDays }: ImportRequest,
  capture: CapturedConnection,
  { nowUs, baseUs, problem }: { nowUs: number; baseUs: number; problem: string | null },
): SessionDocument {
  const { claims, sha256, durationUs } = capture;
  const isDated = claimsTime(capture, nowUs);
  return {
    session_id: sessionId,
    name,
    description,
    status: 'created',
    created_at: isoOf(nowUs),
    started_at: null,
    stopped_at: null,
    created_by: by,
    rdp_config: targetOf(claims.server),
    recording_config: recordingConfigSchema.parse({}),
    storage_config: storageConfigSchema.parse({ retention_days: retentionDays }),
    metadata,
    statistics: noStatistics,
    end_reason: null,
    end_message: null,
    merkle_root: null,
    imported: {
      by,
      at: isoOf(nowUs),
      source_name: sourceName,
      source_sha256: sourceSha256,
      capture_sha256: sha256,
      captured_from: isDated ? isoOf(baseUs) : null,
      captured_to: isDated ? isoOf(baseUs + durationUs) : null,
      client: claims.client,
      server: claims.server,
      problem,
    },
    version: 1,
    pipeline_state: 'created',
  };
}
