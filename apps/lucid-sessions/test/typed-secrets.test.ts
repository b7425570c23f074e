/** A secret that is typed on every path there is, looked for in all that an installation writes and in what the view key opens. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { armSession, readRecording, sessionIn, startGateway } from './support/gateway.ts';

const secret = 'Quetzalcoatl-7731';
const needles = [Buffer.from(secret), Buffer.from(secret, 'utf16le')];
const dynamicChannels = [
  'Microsoft::Windows::RDS::CoreInput',
  'TextInput_ClientToServerDVC',
  'WebAuthN_Channel',
  'Microsoft::Windows::RDS::AuthRedirection',
  'Microsoft::Windows::RDS::Input',
  'AUDIO_INPUT',
  'RDCamera_Device_0',
  'Microsoft::Windows::RDS::Location',
  'URBDRC',
  'Contoso::Unknown',
];
const staticChannels = ['cliprdr', 'rdpdr', 'drdynvc', 'contoso'];
/** Kept sealed whatever the policy for input and clipboard says. */
const devices = ['rdpdr', 'URBDRC'];

const places = (bytes: Buffer): number =>
  needles.reduce((sum, needle) => sum + bytes.toString('latin1').split(needle.toString('latin1')).length - 1, 0);

function filesUnder(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

test('a secret typed on every path is in no clear byte of what an installation writes', async (t) => {
  const desktop = await startDesktop({ dynamicChannels });
  t.after(() => desktop.stop());
  const gateway = await startGateway(t, { LUCID_RATE_LIMIT_STATISTICS: '100000' });
  for (const policy of ['full', 'masked', 'none'] as const) {
    const recording_config = { input_policy: policy, clipboard_policy: policy };
    const { id, routingToken } = await armSession(gateway, desktop.port, { recording_config });
    const channels = staticChannels.map((name) => ({ name, options: 0x8000_0000 }));
    const client = await connectClient({ port: gateway.rdpPort, routingToken, userName: 'alice', channels });
    // A channel is answered when it was asked for: before that nobody knows what it is.
    await client.settled();
    const idOf = (name: string): number => client.channels.find((channel) => channel.name === name)!.channelId;
    for (const [i] of dynamicChannels.entries())
      client.sendChannel(idOf('drdynvc'), Uint8Array.of(0x10, i + 1, 0, 0, 0, 0));
    for (const needle of needles) {
      for (const name of ['cliprdr', 'rdpdr', 'contoso']) client.sendChannel(idOf(name), needle);
      for (const [i] of dynamicChannels.entries())
        client.sendChannel(idOf('drdynvc'), Buffer.concat([Uint8Array.of(0x30, i + 1), needle]));
    }
    await client.type(`${secret}\n`);
    await client.settled();
    await client.close();
    await sessionIn(gateway, id, 'completed');

    const seen = Buffer.concat((await readRecording(gateway, id, false)).map(({ body }) => body));
    assert.equal(places(seen), 0, `${policy}: the view key opens none of it`);
    const opened = await readRecording(gateway, id, true);
    const found = places(Buffer.concat(opened.map(({ body }) => body)));
    const paths = policy === 'full' ? dynamicChannels.length + 3 : devices.length;
    assert.equal(found, paths * needles.length, `${policy}: what the inputs key opens`);
  }
  for (const path of filesUnder(gateway.lucid.directory.root)) assert.equal(places(readFileSync(path)), 0, path);
});
