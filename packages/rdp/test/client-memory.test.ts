/** What is remembered of a client before it has a desktop, from real connections and from nonsense. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCapture } from '@lucid-sessions/testkit';
import { decode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { ClientMemory, clientInfoPdu, type HeldClientState } from '../src/index.ts';
import { captureNames, capturesDirectory } from './pdu-samples.ts';

interface Said {
  side: 'client' | 'server';
  bytes: Uint8Array;
}

/** Behind TLS, until well behind the connection sequence. */
const conversationOf = (name: string): Said[] =>
  readCapture(new URL(name, capturesDirectory).pathname)
    .records.filter(({ beforeTls }) => !beforeTls)
    .slice(0, 30)
    .map(({ fromServer, bytes }) => ({ side: fromServer ? 'server' : 'client', bytes }));

/** In pieces whose memory is used for something else afterwards. */
function remember(said: readonly Said[], size: number): HeldClientState | null {
  const memory = new ClientMemory();
  let last: HeldClientState | null = null;
  for (const { side, bytes } of said)
    for (let at = 0; at < bytes.length; at += size) {
      const piece = Buffer.from(bytes.subarray(at, at + size));
      memory.see(side, piece);
      piece.fill(0xee);
      last = memory.state ?? last;
    }
  return last;
}

test('what a real client said is remembered whole, whatever pieces it came in', () => {
  let count = 0;
  for (const name of captureNames) {
    const said = conversationOf(name);
    const whole = remember(said, Number.MAX_SAFE_INTEGER);
    // Network level authentication comes first in some: its client can't be handed on.
    if (whole === null) continue;
    count += 1;
    assert.ok(decode(clientInfoPdu, whole.clientInfo).info.userName !== undefined);
    assert.ok(whole.ids.userId > 0 && whole.ids.ioChannelId > 0);
    assert.equal(whole.deactivate?.length, 0, `${name}: licensed by then`);
    for (const size of [1, 7, 100]) assert.deepEqual(remember(said, size), whole);
  }
  assert.ok(count > 10, `only ${count} captures`);
});

test('nonsense is forgotten, never thrown', () => {
  const side = fc.constantFrom('client' as const, 'server' as const);
  const said = fc.array(fc.record({ side, bytes: fc.uint8Array({ maxLength: 60 }) }), { maxLength: 10 });
  fc.assert(
    fc.property(fc.constantFrom(...captureNames.slice(0, 5)), fc.nat(12), said, (name, count, more) => {
      remember([...conversationOf(name).slice(0, count), ...more], 20);
    }),
    { numRuns: 100 },
  );
  const garbage = new ClientMemory();
  garbage.see('client', Buffer.from('GET / HTTP/1.1\r\n\r\n'));
  for (const { side: from, bytes } of conversationOf(captureNames[0]!)) garbage.see(from, bytes);
  assert.equal(garbage.state, null);
});
