/** A client that is held: what it can make us draw. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Connector, Hold, PduType2, refreshRect } from '../src/index.ts';

/** A client with a desktop of ours, and how often the whole of it was drawn. */
function held(): { client: Connector; hold: Hold<never>; opened: () => number } {
  let opened = 0;
  const display = {
    open: () => {
      opened += 1;
      return [];
    },
    input: () => null,
    draw: () => [],
  };
  const client = new Connector({
    requestedProtocols: 1,
    userName: 'ann',
    password: '',
    desktopWidth: 800,
    desktopHeight: 600,
  });
  client.start();
  client.step(Buffer.from('030000130ed000001234000200080001000000', 'hex'));
  let said = client.tlsEstablished().output;
  const hold = new Hold<never>(1, said);
  for (let isActive = false; !isActive; ) {
    const { output, events } = hold.step(said);
    const shown = events.some(({ kind }) => kind === 'clientInfo') ? hold.show(display).output : new Uint8Array(0);
    const heard = client.step(Buffer.concat([output, shown]));
    isActive = heard.events.some(({ kind }) => kind === 'active');
    said = heard.output;
  }
  hold.step(said);
  return { client, hold, opened: () => opened };
}

test('a client that asks for the whole picture again and again is drawn it once for all that comes together, and a few times', () => {
  const { client, hold, opened } = held();
  assert.equal(opened(), 1);
  const body = { pad3octets: new Uint8Array(3), areas: [{ left: 0, top: 0, right: 799, bottom: 599 }] };
  const refresh = client.shareData(PduType2.refreshRect, refreshRect, body);
  hold.step(Buffer.concat(Array.from({ length: 1000 }, () => refresh)));
  assert.equal(opened(), 2);
  for (let count = 0; count < 1000; count += 1) hold.step(refresh);
  assert.equal(opened(), 21);
});
