/** What a bundle's records say, read for the report; what can't be read is null, and a finding of the verifier's. */
import {
  type BundleSource,
  bundleNames,
  type CustodyBody,
  type RecordKind,
  readRecordOf,
  type SignedRecord,
  sha256,
  toHex,
} from '@lucid-sessions/evidence';
import { type Crypto, DecodeError } from '@lucid-sessions/wire';
import { fileOf } from './court-bundle.ts';
import type { CourtFacts, CustodyLine, DigestedFile } from './protocol.ts';

async function recordOf<K extends RecordKind>(source: BundleSource, kind: K, name: string) {
  const bytes = await fileOf(source, name);
  return bytes === null ? null : tolerant(() => readRecordOf(kind, bytes));
}

function tolerant<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof DecodeError) return null;
    throw error;
  }
}

async function custodyOf(source: BundleSource): Promise<CustodyLine[]> {
  const bytes = (await fileOf(source, bundleNames.custody)) ?? new Uint8Array(0);
  const lines: CustodyLine[] = [];
  for (let start = 0, end = bytes.indexOf(0x0a); end >= 0; start = end + 1, end = bytes.indexOf(0x0a, start)) {
    const line = bytes.subarray(start, end);
    const record: SignedRecord<CustodyBody> | null = tolerant(() => readRecordOf('custody', line));
    if (record === null) return lines;
    const { sequence, at_us: atUs, action, actor, detail } = record.body;
    lines.push({ sequence, atUs, action, actor, detail });
  }
  return lines;
}

async function filesOf(source: BundleSource, crypto: Crypto): Promise<DigestedFile[]> {
  const files: DigestedFile[] = [];
  for (const { name, bytes } of [...(await source.list())].sort((a, b) => (a.name < b.name ? -1 : 1)))
    files.push({ name, bytes, sha256: toHex(await crypto.sha256(await source.read(name, 0, bytes))) });
  return files;
}

/** Of a bundle that can't be opened at all. */
export const noFacts: CourtFacts = {
  sessionId: null,
  recorder: null,
  target: null,
  targetUser: null,
  createdBy: null,
  encryption: null,
  openSha256: null,
  manifestSha256: null,
  bundleSha256: null,
  exported: null,
  clock: null,
  connections: [],
  gaps: [],
  custody: [],
  files: [],
};

export async function factsOf(source: BundleSource, crypto: Crypto): Promise<CourtFacts> {
  const open = await recordOf(source, 'open', bundleNames.open);
  const manifest = await recordOf(source, 'manifest', bundleNames.manifest);
  const exported = await recordOf(source, 'export', bundleNames.export);
  const bundle = await fileOf(source, bundleNames.bundle);
  const { recorder, parties } = open?.body ?? {};
  const { clock, connections = [], gaps = [] } = manifest?.body ?? {};
  return {
    sessionId: open?.body.session_id ?? null,
    recorder:
      recorder === undefined
        ? null
        : { id: recorder.id, software: recorder.software, identityKey: recorder.identity_key },
    target: parties?.target ?? null,
    targetUser: parties?.target_user ?? null,
    createdBy: parties?.created_by ?? null,
    encryption: open?.body.encryption ?? null,
    openSha256: open?.sha256 ?? null,
    manifestSha256: manifest?.sha256 ?? null,
    bundleSha256: bundle === null ? null : toHex(sha256(bundle)),
    exported: exported === null ? null : { by: exported.body.actor, atUs: exported.body.at_us },
    clock: clock === undefined ? null : { offsetUs: clock.offset_us, source: clock.source },
    connections: connections.map(({ at_us: atUs, client, target }) => ({ atUs, client, target })),
    gaps: gaps.map(({ from_us: fromUs, to_us: toUs, reason, frames_lost: framesLost }) => ({
      ...{ fromUs, toUs, reason, framesLost },
    })),
    custody: await custodyOf(source),
    files: await filesOf(source, crypto),
  };
}
