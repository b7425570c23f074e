/** Sessions of mstsc with Windows under a policy: nothing they say is unreadable to it, and none of them breaks off. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readCapture } from '@lucid-sessions/testkit';
import { RecordingTap } from '@lucid-sessions/testkit/recording-tap';
import { type ChannelPolicy, openPolicy, Relay } from '../src/index.ts';

const folder = process.env.WINDOWS_CAPTURES ?? '';
const skip = folder === '' ? 'set WINDOWS_CAPTURES to the folder of recorded Windows sessions' : false;

const policies: Partial<ChannelPolicy>[] = [
  { clipboard: 'in', clipboardFiles: 'off', smartCards: false },
  { clipboard: 'out', clipboardFiles: 'out', drives: false, printers: false },
  { others: false, audio: false, microphone: false, camera: false, usb: false, location: false },
];

test('captures of Windows pass through the policy of channels', { skip }, () => {
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.rdpcap.gz')))
    for (const changes of policies) {
      const channels = { ...openPolicy, ...changes };
      const relay = new Relay(
        { requestedProtocols: 11, selectedProtocol: 8, graphics: 'passthrough', channels },
        new RecordingTap(),
      );
      for (const [at, { fromServer, beforeTls, bytes }] of readCapture(join(folder, name)).records.entries())
        if (!beforeTls) relay.step(fromServer ? 'server' : 'client', Buffer.from(bytes), at);
      const unread = [...relay.refusals.keys()].filter((what) => what.startsWith('what could not be read'));
      assert.deepEqual(unread, [], `${name} ${JSON.stringify(changes)}`);
    }
});
