/** A log in a bucket: several writers, paused and crashed ones, lost answers. It never forks and loses nothing it has answered for. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, type TestContext, test } from 'node:test';
import {
  checkNote,
  cosign,
  ed25519NoteSigner,
  hashLeaf,
  merkleRoot,
  noteAlgorithms,
  parseSignedCheckpoint,
  utf8,
} from '@lucid-sessions/evidence';
import { checkLogFiles, EmbeddedLog, readCheckpoint } from '@lucid-sessions/log';
import { nodeCrypto } from '@lucid-sessions/node';
import { S3Bucket, type S3BucketOptions, S3LogHeadStore, s3LogDisk } from '@lucid-sessions/s3';
import { peersMissing, S3Faults, type S3Request, s3Server } from '@lucid-sessions/testkit';
import { newPlace, quickLimits, useCredentials } from './buckets.ts';

const server = await s3Server({ skip: () => {} } as unknown as TestContext);
const signer = await ed25519NoteSigner(nodeCrypto, 'log.example/bucket', new Uint8Array(32).fill(3));
const isWrite = ({ method }: S3Request) => method === 'PUT';
const isHeadWrite = ({ method, path }: S3Request) => method === 'PUT' && /\/head(?:\?|$)/.test(path);

if (server === null)
  test('a log in a bucket', (t) => t.skip(`needs ${peersMissing('seaweedfs').join(', ')}: run .ci/install-peers`));
else
  describe('a log in a bucket', () => {
    let faults: S3Faults;
    const open: EmbeddedLog[] = [];
    const buckets: S3Bucket[] = [];

    before(async () => {
      useCredentials(server);
      faults = await S3Faults.before(server.endpoint);
    });
    afterEach(async () => {
      faults.off();
      for (const log of open.splice(0)) await log.close();
      for (const bucket of buckets.splice(0)) bucket.dispose();
    });
    after(async () => {
      await faults.stop();
      await server.stop();
    });

    const bucketAt = (place: S3BucketOptions, limits = {}): S3Bucket => {
      const bucket = new S3Bucket({ ...place, limits: { ...quickLimits, ...limits } });
      buckets.push(bucket);
      return bucket;
    };
    const logAt = async (place: S3BucketOptions, limits = {}): Promise<EmbeddedLog> => {
      const bucket = bucketAt(place, limits);
      const log = await EmbeddedLog.open({
        directory: '',
        signer,
        disk: s3LogDisk(bucket),
        heads: new S3LogHeadStore(bucket),
      });
      open.push(log);
      return log;
    };
    const faulty = (place: S3BucketOptions): S3BucketOptions => ({ ...place, endpoint: faults.endpoint });

    /** Everything public is of one tree. Answers its entries. */
    async function checked(place: S3BucketOptions): Promise<Uint8Array[]> {
      const disk = s3LogDisk(bucketAt(place));
      const checkpoint = await readCheckpoint(disk.read);
      assert.ok(checkpoint !== null);
      assert.equal(await checkNote(nodeCrypto, checkpoint.note, signer.key), 'good');
      await checkLogFiles(disk.read, checkpoint);
      const log = await logAt(place);
      assert.equal(log.size, checkpoint.size);
      const entries = await Promise.all(Array.from({ length: log.size }, (_, at) => log.entry(at)));
      assert.deepEqual(checkpoint.root, merkleRoot(entries.map(hashLeaf)));
      return entries;
    }

    test('two writers at once make one log; what both add is in it once', async () => {
      const place = await newPlace(server.endpoint);
      const [one, two] = [await logAt(place), await logAt(place)];
      const texts = Array.from({ length: 30 }, (_, at) => `entry ${at}`);
      const adding = (log: EmbeddedLog, own: string[]) =>
        Promise.all(
          own.map(async (text, at) => {
            // Not all in one batch.
            await new Promise((resolve) => setTimeout(resolve, 20 * at));
            return [text, await log.append(utf8(text))] as const;
          }),
        );
      const added = (await Promise.all([adding(one, texts.slice(0, 20)), adding(two, texts.slice(10))])).flat();
      const entries = (await checked(place)).map((entry) => Buffer.from(entry).toString());
      assert.deepEqual(entries.toSorted(), texts.toSorted());
      for (const [text, index] of added) assert.equal(entries[index], text);
      assert.equal(await one.find(utf8('entry 29')), entries.indexOf('entry 29'), 'each finds what the other added');
      const { size, checkpoint } = await two.prove([0, entries.length - 1], 1);
      assert.equal(parseSignedCheckpoint(checkpoint).size, size);
    });

    test('a writer that stood still while another went on adds behind it, and its late write changes nothing', async () => {
      const place = await newPlace(server.endpoint);
      const paused = await logAt(faulty(place), { tryMsMax: 300 });
      await paused.append(utf8('before'));
      let wake: () => void = () => {};
      const until = new Promise<void>((resolve) => {
        wake = resolve;
      });
      let held = 0;
      faults.on((request) => {
        if (!isHeadWrite(request) || held > 0) return null;
        held += 1;
        return { kind: 'hold', until };
      });
      const late = paused.append(utf8('late'));
      const other = await logAt(place);
      while (held === 0) await new Promise((resolve) => setTimeout(resolve, 10));
      assert.equal(await other.append(utf8('meanwhile')), 1);
      assert.equal(await late, 2);
      wake();
      assert.deepEqual(
        (await checked(place)).map(String),
        ['before', 'meanwhile', 'late'].map((text) => String(utf8(text))),
      );
    });

    test('every answer may be lost once', async () => {
      const place = await newPlace(server.endpoint);
      const seen = new Set<string>();
      faults.on((request) => {
        const name = `${request.method} ${request.path}`;
        if (!isWrite(request) || seen.has(name)) return null;
        seen.add(name);
        return { kind: 'lose' };
      });
      const log = await logAt(faulty(place));
      for (let at = 0; at < 5; at++) assert.equal(await log.append(utf8(`entry ${at}`)), at);
      assert.equal((await checked(place)).length, 5);
    });

    test('a crash before any request leaves a log that goes on, with all that was answered for', async () => {
      for (let requests = 0; requests < 40; requests += 3) {
        const place = await newPlace(server.endpoint);
        await (await logAt(place)).append(utf8('old'));
        let left = requests;
        faults.on(() => {
          left -= 1;
          return left < 0 ? { kind: 'cut' } : null;
        });
        const answered = new Map<number, string>();
        const crashing = await logAt(faulty(place), { giveUpMs: 1 }).catch(() => null);
        for (const text of ['one', 'two', 'three'])
          await crashing?.append(utf8(text)).then(
            (index) => answered.set(index, text),
            () => {},
          );
        faults.off();
        const next = await logAt(place);
        const index = await next.append(utf8('three'));
        const entries = (await checked(place)).map((entry) => Buffer.from(entry).toString());
        assert.deepEqual([entries[0], entries[index], new Set(entries).size], ['old', 'three', entries.length]);
        for (const [at, text] of answered) assert.equal(entries[at], text, `after ${requests} requests`);
      }
    });

    test('what witnesses said is seen by every writer, and no checkpoint goes back', async () => {
      const place = await newPlace(server.endpoint);
      const [one, two] = [await logAt(place), await logAt(place)];
      await one.append(utf8('a'));
      const { key, sign } = await ed25519NoteSigner(nodeCrypto, 'witness.example', new Uint8Array(32).fill(5));
      const witness = { key: { ...key, algorithm: noteAlgorithms.cosignatureV1 }, sign };
      const first = one.checkpoint!;
      const signature = await cosign(witness, parseSignedCheckpoint(first).note.text, 1000);
      assert.equal(await one.attachCosignatures(nodeCrypto, first, [{ witness: witness.key, signature }]), true);
      await two.refresh();
      assert.equal(two.witnessed.size, 1);
      const disk = s3LogDisk(bucketAt(place));
      const shown = async () => parseSignedCheckpoint((await disk.read('checkpoint'))!);
      assert.equal((await shown()).note.signatures.length, 2);
      await two.append(utf8('b'));
      await disk.write('checkpoint', utf8(first));
      assert.equal((await shown()).size, 2);
    });

    test('a tile with other bytes, or a head that is gone, stops the log', async () => {
      const place = await newPlace(server.endpoint);
      const log = await logAt(place);
      for (let at = 0; at < 3; at++) await log.append(utf8(`entry ${at}`));
      const bucket = bucketAt(place);
      await bucket.put('tile/0/000.p/3', new Uint8Array(96));
      await assert.rejects(logAt(place), { message: /tile.*is there with other bytes/ });
      await bucket.destroy('head');
      await assert.rejects(log.refresh(), { message: /head is gone/ });
    });
  });
