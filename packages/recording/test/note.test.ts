import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { decodeNote, encodeNote, type GatewayNote, NOTE_BYTES_MAX } from '../src/index.ts';

const notes: GatewayNote[] = [
  { type: 'connected', atUs: 1, clientAddress: '[::1]:4000', targetAddress: '10.0.0.1:3389' },
  {
    type: 'client',
    clientName: 'büro-7',
    clientBuild: 2600,
    desktopWidth: 1920,
    desktopHeight: 1080,
    colorDepth: 32,
    keyboardLayout: 0x407,
    channels: [{ channelId: 1004, name: 'cliprdr' }],
    security: 'tls',
  },
  { type: 'target_certificate', sha256: 'ab'.repeat(32), check: 'ignored', valid: false, problem: 'self-signed' },
  { type: 'target_certificate', sha256: 'ab'.repeat(32), check: 'pinned', valid: true },
  { type: 'approval', by: 'bob', reason: 'change 12' },
  { type: 'consent', textSha256: 'cd'.repeat(32), user: 'ann' },
  { type: 'client_logon', user: 'lucid-a', workstation: 'PC', targetName: '', version: 6 },
  { type: 'target_logon', user: 'LAB\\alice', method: 'ntlm', envelope: 'spnego', credsspVersion: 6 },
  { type: 'downgrade', what: 'graphics pipeline off' },
  {
    type: 'joined',
    client: { userId: 1006, ioChannelId: 1003, messageChannelId: 0, channelIds: [1004, 1005] },
    target: { userId: 1009, ioChannelId: 1003, messageChannelId: 1008, channelIds: [1005, 1004] },
  },
  { type: 'message', from: 'alice', text: 'we stop at six' },
  { type: 'policy', what: 'in force: drives:off' },
  { type: 'pause', atUs: 5 },
  { type: 'resume', atUs: 6 },
  { type: 'gap', fromUs: 1, toUs: 2, reason: 'spool full', framesLost: 3 },
  { type: 'clock_step', atUs: 9, stepUs: -1_000_000 },
  { type: 'ended', atUs: 10, reason: 'stopped', message: 'stopped by an operator' },
];

const codeOf = (body: Uint8Array): string => {
  try {
    decodeNote(body);
  } catch (error) {
    assert.ok(error instanceof DecodeError, String(error));
    return error.code;
  }
  return 'none';
};
const bytesOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

describe('gateway notes', () => {
  for (const note of notes)
    it(`${note.type} comes back as written`, () => assert.deepEqual(decodeNote(encodeNote(note)), note));

  it('refuses a note with any field missing, of another type or unknown', () => {
    for (const note of notes) {
      for (const name of Object.keys(note).filter((key) => key !== 'problem')) {
        const { [name as keyof GatewayNote]: _, ...rest } = note;
        assert.equal(codeOf(bytesOf(rest)), 'invalid', `${note.type} without ${name}`);
        assert.notEqual(codeOf(bytesOf({ ...note, [name]: { odd: 1 } })), 'none', `${note.type} with an odd ${name}`);
      }
      assert.equal(codeOf(bytesOf({ ...note, more: 1 })), 'invalid');
    }
  });

  it('tells an unknown type from damage', () => {
    assert.equal(codeOf(bytesOf({ type: 'later', x: 1 })), 'unsupported');
    assert.equal(codeOf(bytesOf({ type: 'toString' })), 'unsupported');
    assert.equal(codeOf(bytesOf([])), 'invalid');
    assert.equal(codeOf(Uint8Array.of(0xff)), 'invalid');
    assert.equal(codeOf(new Uint8Array(NOTE_BYTES_MAX + 1)), 'limit');
  });

  it('writes nothing a reader would refuse', () => {
    assert.throws(() => encodeNote({ type: 'pause', atUs: -1 }), RangeError);
    assert.throws(() => encodeNote({ type: 'downgrade', what: 'x'.repeat(5000) }), RangeError);
    const channels = Array.from({ length: 64 }, (_, channelId) => ({ channelId, name: 'n'.repeat(4000) }));
    assert.throws(
      () => encodeNote({ ...(notes[1] as Extract<GatewayNote, { type: 'client' }>), channels }),
      /larger than readers/,
    );
  });

  it('throws nothing but DecodeError on random JSON and bytes', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => void codeOf(bytesOf(value))));
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void codeOf(bytes)));
  });
});
