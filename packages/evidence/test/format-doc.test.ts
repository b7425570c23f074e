import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { nodeCrypto } from '@lucid-sessions/node';
import { FrameWriter, PAYLOAD_HEADER_BYTES } from '@lucid-sessions/recording';
import {
  type ChunkHeader,
  checks,
  cipherInputs,
  deriveChunkKeysSync,
  ed25519NoteSigner,
  ed25519Signer,
  encodeChunkHeader,
  encodeJson,
  encodeLeaf,
  exitCodes,
  findingCodes,
  findingMeanings,
  formatNoteKey,
  formatPublicKey,
  formatSchemas,
  hashLeaf,
  inputsSecret,
  keyIdOf,
  type Leaf,
  leafHash,
  logEntry,
  merkleRoot,
  preAuthEncoding,
  readRecord,
  recordBase,
  recordPayloadType,
  registries,
  sealChunk,
  sealLeaf,
  sessionIdBytes,
  sessionKeys,
  sessionSubject,
  sha256,
  signCheckpoint,
  signRecord,
  toHex,
  verdictMoves,
} from '../src/index.ts';

const page = join(import.meta.dirname, '../../../docs/format.md');
const BLOCK = /```json vectors\n(.*?)\n```/s;
const fill = (value: number, length = 32): Uint8Array => new Uint8Array(length).fill(value);

/** Every layout of the page, from fixed inputs. */
async function vectors(): Promise<Record<string, Record<string, string>>> {
  const writer = new FrameWriter({ start: PAYLOAD_HEADER_BYTES });
  writer.append(0, 0x21, 1003, 1_500_000, Uint8Array.of(0, 4, 0x80, 0x00));
  writer.append(0, 0x60, 0, 1_600_000, Uint8Array.of(4, 4, 0, 0x1e));
  const payload = writer.payload({ firstFrameNumber: 0, openedUs: 1_800_000_000_000_000 });
  const header: ChunkHeader = {
    suite: 1,
    recovered: false,
    gapBefore: false,
    stored: false,
    compression: 'none',
    sessionId: sessionIdBytes('demo'),
    index: 0,
    openedUs: 1_800_000_000_000_000,
    monotonicNs: 5n,
    previousLeafHash: fill(0),
    dekId: fill(0x22, 16),
  };
  const [dek, salt] = [fill(0x11), fill(0x33)];
  const headerBytes = encodeChunkHeader(header);
  const { view, inputs } = await sessionKeys(nodeCrypto, dek, header.dekId);
  const keys = deriveChunkKeysSync(nodeCrypto, view, salt, headerBytes);
  const secret = await inputsSecret(nodeCrypto, inputs, salt, header);
  const sealed = await cipherInputs(nodeCrypto, secret, payload);
  const file = await sealChunk(nodeCrypto, { header, dek, compressed: sealed, salt });
  const [firstSeed, nextSeed] = [fill(0x44), fill(0x55)];
  const leaf: Leaf = {
    recovered: false,
    gapBefore: false,
    final: false,
    sessionId: header.sessionId,
    index: 0,
    openedUs: header.openedUs,
    closedUs: header.openedUs + 30_000_000,
    compressedBytes: payload.length,
    fileBytes: file.length,
    fileSha256: sha256(file),
    previousLeafHash: header.previousLeafHash,
    nextSealKey: nodeCrypto.ed25519PublicKey(nextSeed),
  };
  const leafBytes = encodeLeaf(leaf);
  const identity = await ed25519Signer(nodeCrypto, fill(0x66));
  const body = {
    ...recordBase('erase', 'demo'),
    at_us: 1_800_000_100_000_000,
    actor: 'retention',
    reason: '30 days are over',
    erased: 'keys',
    dek_id: '22'.repeat(16),
    merkle_root: toHex(leafHash(leafBytes)),
  } as const;
  const envelope = await signRecord(identity, body);
  const record = readRecord(envelope);
  const replayBody = {
    ...recordBase('replay', 'demo'),
    manifest_sha256: '55'.repeat(32),
    examined_us: 1_800_000_200_000_000,
    software: 'lucid-sessions 0.1.0',
    rules: 1,
    chunks_count: 2,
    until_us: 59_000_000,
    pictures: 118,
    lit: true,
    not_drawn: [
      { kind: 'gfx.codec.hevc', count: 3, first_us: 1_000_000, last_us: 2_500_000, located: 3, share_permille: 250 },
    ],
    share_permille: 250,
    ended: null,
  };
  const replay = await signRecord(identity, replayBody);
  const session = { openSha256: '88'.repeat(32), sessionUuid: toHex(header.sessionId), logEntries: 2 } as const;
  const entry = logEntry('erase', record.sha256, session);
  const log = await ed25519NoteSigner(nodeCrypto, 'log.example/demo', fill(0x77));
  const leaves = Array.from({ length: 3 }, (_, i) => hashLeaf(Uint8Array.of(i)));
  return {
    session: { session_id: 'demo', bytes: toHex(header.sessionId) },
    payload: { bytes: toHex(payload) },
    chunk: {
      dek: toHex(dek),
      view_key: toHex(view),
      inputs_key: toHex(inputs),
      salt: toHex(salt),
      header: toHex(headerBytes),
      inputs_secret: toHex(secret),
      sealed_payload: toHex(sealed),
      key: toHex(keys.key),
      nonce: toHex(keys.nonce),
      commitment: toHex(keys.commitment),
      file: toHex(file),
    },
    leaf: {
      bytes: toHex(leafBytes),
      hash: toHex(leafHash(leafBytes)),
      seal_seed: toHex(firstSeed),
      seal_public_key: toHex(nodeCrypto.ed25519PublicKey(firstSeed)),
      seal: toHex(await sealLeaf(nodeCrypto, firstSeed, leafBytes)),
    },
    tree: { leaves: 'the bytes 00, 01 and 02', root: toHex(merkleRoot(leaves)) },
    record: {
      identity_seed: '66'.repeat(32),
      identity_key: formatPublicKey(identity.publicKey),
      keyid: keyIdOf(identity.publicKey),
      body: new TextDecoder().decode(encodeJson(body)),
      signed_sha256: toHex(sha256(preAuthEncoding(recordPayloadType('erase'), encodeJson(body)))),
      envelope: new TextDecoder().decode(envelope),
      hash: record.sha256,
    },
    replay: {
      body: new TextDecoder().decode(encodeJson(replayBody)),
      envelope: new TextDecoder().decode(replay),
      hash: readRecord(replay).sha256,
    },
    log: {
      session_subject: toHex(sessionSubject(session.sessionUuid)),
      open_hash: session.openSha256,
      entry_1: toHex(logEntry('erase', record.sha256, { ...session, logEntries: 1 })),
      entry: toHex(entry),
      leaf_hash: toHex(hashLeaf(entry)),
      log_seed: '77'.repeat(32),
      verifier_key: formatNoteKey(log.key),
      checkpoint_of_one_entry: await signCheckpoint(log, 1, hashLeaf(entry)),
    },
  };
}

const row = (...cells: (string | number)[]): string => `| ${cells.join(' | ')} |`;
const tableOf = (head: string[], rows: (string | number)[][]): string =>
  [row(...head), row(...head.map(() => '---')), ...rows.map((cells) => row(...cells))].join('\n');
const questions = ['integrity', 'completeness', 'origin', 'time', 'readability'] as const;

/** Tables of the page that are made of the code's own. */
const tables = {
  codes: tableOf(
    ['exit', 'code', 'found when', ...questions],
    findingCodes.map((code) => [
      exitCodes[code],
      code,
      findingMeanings[code],
      ...questions.map((question) => verdictMoves[code][question] ?? ''),
    ]),
  ),
  checks: tableOf(
    ['number', 'code', 'what must hold'],
    Object.entries(checks).map(([number, [code, text]]) => [number, code, text]),
  ),
  schemas: tableOf(
    ['schema', 'of'],
    Object.entries(formatSchemas).map(([name, { title }]) => [
      `[${name}](schemas/${name}.schema.json)`,
      title as string,
    ]),
  ),
  registries: tableOf(
    ['list', 'values', 'closed, or what a reader does with others'],
    registries.map(({ name, values, unknown }) => [
      name,
      values.map((value) => `\`${value}\``).join(' ') || '—',
      unknown === null ? 'closed' : `open: ${unknown}`,
    ]),
  ),
};
const isWriting = process.env.UPDATE_FORMAT_VECTORS === '1';
const schemas = join(import.meta.dirname, '../../../docs/schemas');
const updating = 'run this test with UPDATE_FORMAT_VECTORS=1 if the format was meant to change';

describe('docs/format.md', () => {
  it('carries the test vectors this code makes', async () => {
    const made = await vectors();
    const text = readFileSync(page, 'utf8');
    if (isWriting)
      writeFileSync(
        page,
        text.replace(BLOCK, () => `\`\`\`json vectors\n${JSON.stringify(made, null, 2)}\n\`\`\``),
      );
    const found = BLOCK.exec(readFileSync(page, 'utf8'))?.[1];
    assert.ok(found !== undefined, 'the page has no block of vectors');
    assert.deepEqual(JSON.parse(found), made, updating);
  });

  for (const [name, table] of Object.entries(tables))
    it(`has the table of ${name} that the verifier goes by`, () => {
      const block = new RegExp(`<!-- ${name} -->\n([^]*?)<!-- end -->`);
      const text = readFileSync(page, 'utf8');
      if (isWriting)
        writeFileSync(
          page,
          text.replace(block, () => `<!-- ${name} -->\n${table}\n<!-- end -->`),
        );
      assert.equal(block.exec(readFileSync(page, 'utf8'))?.[1], `${table}\n`, updating);
    });

  it('has the schemas the verifier reads by', () => {
    const text = (schema: object): string => `${JSON.stringify(schema, null, 1)}\n`;
    const fileOf = (name: string): string => `${name}.schema.json`;
    if (isWriting)
      for (const [name, schema] of Object.entries(formatSchemas))
        writeFileSync(join(schemas, fileOf(name)), text(schema));
    assert.deepEqual(readdirSync(schemas).sort(), Object.keys(formatSchemas).map(fileOf).sort());
    for (const [name, schema] of Object.entries(formatSchemas))
      assert.equal(readFileSync(join(schemas, fileOf(name)), 'utf8'), text(schema), updating);
  });

  it('speaks of no check, code or section that is not there', () => {
    const text = readFileSync(page, 'utf8');
    for (const [, number = ''] of text.matchAll(/\b([BRCKLAP]\d{1,2})\b/g))
      assert.ok(Object.hasOwn(checks, number) || number === 'P256', number);
    const sections = new Set([...text.matchAll(/^#+ (\d+(?:\.\d+)*)\.? /gm)].map(([, number]) => number));
    for (const [, number] of text.matchAll(/\((?:section )?(\d{1,2}(?:\.\d+)*)\)/g))
      assert.ok(sections.has(number), `section ${number}`);
  });
});
