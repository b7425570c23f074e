/** What every Peer must do. An implementation runs this against itself: `peerSuite('TLS', open)`. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { Peer } from '../../src/peer/peer.ts';

/** The other side, as a person at the far end of the connection sees it. */
export interface FarEnd {
  send(bytes: Uint8Array): void;
  /** All that has come so far. */
  received(): Buffer;
  /** Reads nothing until `resume`. */
  pause(): void;
  resume(): void;
  /** Says that it sends no more. */
  end(): void;
  /** Cuts the connection. */
  cut(): void;
  /** Resolves when the near end is seen to be gone. */
  readonly gone: Promise<void>;
}

export type OpenPeer = (t: TestContext) => Promise<{ peer: Peer; far: FarEnd }>;

const pattern = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 0xff));

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries += 1) {
    assert.ok(tries < 2000, what);
    await sleep(5);
  }
}

export function peerSuite(name: string, open: OpenPeer): void {
  test(`${name}: what is written arrives in order, though its memory is used again at once`, async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 12 }),
        async (sizes) => {
          const { peer, far } = await open(t);
          const shared = Buffer.alloc(70_000);
          const sent: Buffer[] = [];
          for (const [at, size] of sizes.entries()) {
            const piece = pattern(size + at).subarray(at);
            shared.set(piece);
            sent.push(piece);
            const hasRoom = peer.write(shared.subarray(0, size));
            shared.fill(0xee);
            if (hasRoom) continue;
            await new Promise<void>((resolve) => {
              peer.onRoom = resolve;
            });
          }
          const expected = Buffer.concat(sent);
          await until('all has arrived', () => far.received().length >= expected.length);
          assert.ok(far.received().equals(expected));
          peer.destroy();
        },
      ),
      { numRuns: 10 },
    );
  });

  test(`${name}: what came before reading began comes first, and no more while more is not welcome`, async (t) => {
    const { peer, far } = await open(t);
    const sent = pattern(200_000);
    far.send(sent.subarray(0, 1000));
    await sleep(20);
    const taken: Buffer[] = [];
    let calls = 0;
    peer.read((bytes) => {
      taken.push(Buffer.from(bytes));
      calls += 1;
      return calls % 3 !== 0;
    });
    far.send(sent.subarray(1000));
    let seen = -1;
    await until('all has come', () => {
      // Asked for more only where nothing has come since the last look.
      if (calls === seen) peer.resume();
      seen = calls;
      return Buffer.concat(taken).length >= sent.length;
    });
    assert.ok(Buffer.concat(taken).equals(sent));
    peer.destroy();
  });

  test(`${name}: a slow reader makes the writer wait, and nothing is lost`, async (t) => {
    const { peer, far } = await open(t);
    far.pause();
    const piece = pattern(64 * 1024);
    let written = 0;
    while (peer.write(piece)) {
      written += 1;
      assert.ok(written < 4000, 'a peer that takes whatever it is given has no bound');
      await sleep(0);
    }
    written += 1;
    const room = new Promise<void>((resolve) => {
      peer.onRoom = resolve;
    });
    far.resume();
    await room;
    await until('all has arrived', () => far.received().length >= written * piece.length);
    assert.equal(far.received().length, written * piece.length);
    peer.destroy();
  });

  test(`${name}: the last words are sent before it ends`, async (t) => {
    const { peer, far } = await open(t);
    peer.read(() => true);
    const words = pattern(300_000);
    for (let at = 0; at < words.length; at += 50_000) peer.write(words.subarray(at, at + 50_000));
    peer.end();
    await far.gone;
    assert.ok(far.received().equals(words));
    await peer.closed;
    assert.equal(peer.isClosed, true);
    peer.end();
    peer.destroy();
  });

  test(`${name}: it is told that the other side left, whether it says so or is cut off`, async (t) => {
    for (const leave of ['end', 'cut'] as const) {
      const { peer, far } = await open(t);
      const taken: Buffer[] = [];
      peer.read((bytes) => {
        taken.push(Buffer.from(bytes));
        return true;
      });
      if (leave === 'end') far.send(Buffer.from('bye'));
      far[leave]();
      await peer.left;
      if (leave === 'end') assert.equal(Buffer.concat(taken).toString(), 'bye');
      peer.end();
      await peer.closed;
    }
  });

  test(`${name}: cut off from here, it is closed and the other side sees it`, async (t) => {
    const { peer, far } = await open(t);
    peer.destroy();
    assert.equal(peer.isClosed, true);
    await Promise.all([peer.closed, peer.left, far.gone]);
    peer.write(Buffer.from('too late'));
  });
}
