/** The audit log as a file that can be checked offline: its rows as they are hashed, and the proof that one of them is logged. */
import { auditExportBegin, auditExportEnd } from '@lucid-sessions/evidence';
import { proofText } from './bundle.ts';
import { type Call, FileAnswer } from './call.ts';

const pageRows = 500;

export async function exportAudit({ api, user }: Call<'exportAudit'>): Promise<FileAnswer> {
  const { storage, pipeline, nowUs } = api.deps;
  // First: the row that is logged is among those that are read then. A log that can't be asked keeps nobody from their rows.
  const { proven } = await pipeline.auditProof().catch((thrown: unknown) => {
    api.deps.onError?.('audit export', thrown);
    return { proven: null };
  });
  const { head } = await storage.auditHead();
  const { unchained } = await storage.auditRows({ from: 0, limit: 1 });
  const begin = auditExportBegin({ exported_us: nowUs(), exported_by: user.userId, unchained });
  const proof = proven === null ? null : { sequence: proven.sequence, text: proofText(proven.proof) };
  async function* lines(): AsyncGenerator<string> {
    yield begin;
    let count = 0;
    for (let from = 0; from <= (head?.sequence ?? -1); ) {
      const limit = Math.min(pageRows, head!.sequence - from + 1);
      const { rows } = await storage.auditRows({ from, limit });
      // Rows that are gone are not passed over: the file says what is there, and the verifier what is not.
      for (const { text } of rows) yield text;
      count += rows.length;
      from = (rows.at(-1)?.sequence ?? head!.sequence) + 1;
    }
    yield auditExportEnd({ rows: count, proof });
  }
  return new FileAnswer(encoded(lines()), 'audit.jsonl');
}

async function* encoded(lines: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  for await (const line of lines) yield Buffer.from(`${line}\n`);
}
