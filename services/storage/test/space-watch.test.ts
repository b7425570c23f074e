import assert from 'node:assert/strict';
import { test } from 'node:test';
import { spaceBounds } from '@lucid-sessions/contract';
import { type DiskSpace, SpaceWatch, spaceStateOf } from '@lucid-sessions/storage';
import fc from 'fast-check';

const mebibyte = 1024 * 1024;

test('whatever the size of the disk: an alarm comes before recording stops, and that before the reserve', () => {
  fc.assert(
    fc.property(fc.integer({ min: 8 * mebibyte, max: 2 ** 50 }), (totalBytes) => {
      const { reserveBytes, recordingBytesMin, alarmBytesMin } = spaceBounds(totalBytes);
      assert.ok(reserveBytes > 0 && reserveBytes <= totalBytes / 20 && reserveBytes <= 32 * mebibyte);
      assert.ok(reserveBytes + recordingBytesMin < totalBytes / 4);
      assert.ok(alarmBytesMin >= 2 * recordingBytesMin && recordingBytesMin > reserveBytes);
    }),
  );
  const small = spaceBounds(90 * mebibyte);
  assert.deepEqual([small.reserveBytes, small.recordingBytesMin], [4 * mebibyte, 12 * mebibyte]);
});

/** A watch over disks that are as the test says. */
function watchOver(...disks: DiskSpace[]) {
  const said: string[] = [];
  let restored = 0;
  const watch = new SpaceWatch({
    chunks: { space: () => Promise.reject(new Error('the reserve knows')) },
    reserve: {
      disks: async () => disks,
      ensure: async () => {},
      release: async () => false,
      restore: async () => {
        restored += 1;
      },
    },
    say: (line) => said.push(line),
  });
  return { watch, said, restored: () => restored };
}

const disk = (freeMib: number, isReserveHeld = true): DiskSpace => ({
  freeBytes: freeMib * mebibyte,
  totalBytes: 90 * mebibyte,
  isReserveHeld,
});

test('each state is told once, with ALARM when it got worse', async () => {
  const small = disk(80);
  const { watch, said, restored } = watchOver(small);
  for (const freeMib of [80, 20, 19, 5, 4, 20, 80, 80]) {
    small.freeBytes = freeMib * mebibyte;
    await watch.look();
  }
  assert.deepEqual(said, [
    'ALARM the disk is nearly full: 20 MiB are free, recording stops below 12 MiB',
    'ALARM nothing is recorded with less than 12 MiB free, and 5 MiB are: delete or add room',
    'the disk is nearly full: 20 MiB are free, recording stops below 12 MiB',
    'the disk has room again: 80 MiB are free',
  ]);
  assert.equal(restored(), 8);
});

test('the disk that is worst off counts; what was given up is not recorded over', async () => {
  assert.equal((await watchOver(disk(80), disk(13)).watch.view()).state, 'low');
  assert.equal((await watchOver(disk(5), disk(80)).watch.view()).state, 'no_recording');
  assert.equal(spaceStateOf(disk(13)), 'low');
  assert.equal(spaceStateOf(disk(13, false)), 'no_recording');
});

test('chunks on their way find room down to the reserve, new recordings do not; what was let through is counted', async () => {
  const { watch } = watchOver(disk(8));
  const full = { code: 'LUCID_ERR_3007', status: 507 };
  await assert.rejects(watch.checkRecording(), full);
  await watch.checkChunk(3 * mebibyte);
  await assert.rejects(watch.checkChunk(2 * mebibyte), full);
  await watch.checkChunk(mebibyte);
});
