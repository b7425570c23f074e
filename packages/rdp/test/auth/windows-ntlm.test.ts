/**
 * A logon of mstsc at a Windows server as it crossed, and the CredSSP of every capture: other people's recordings, which run where
 * `WINDOWS_CAPTURES` names their folder.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readCapture } from '@lucid-sessions/testkit';
import { decode, encode } from '@lucid-sessions/wire';
import * as auth from '../../src/auth/index.ts';
import { connectFrameLength, type TsRequest, tsRequest } from '../../src/index.ts';
import { clientOptions } from './pair.ts';

const windows = process.env.WINDOWS_CAPTURES;
const skip = windows === undefined ? 'WINDOWS_CAPTURES is not set' : false;
const own = new URL('../../../../testkit/captures/', import.meta.url).pathname;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

interface Recorded {
  note: string;
  records: { from: 'client' | 'server'; beforeTls: boolean; hex: string }[];
}

function recorded(): { password: string; messages: Uint8Array[] } {
  const { note, records } = JSON.parse(readFileSync(join(windows!, 'ntlm-rejected1.json'), 'utf8')) as Recorded;
  const password = /Password of \S+ is (\S+)/.exec(note)![1]!;
  return {
    password,
    messages: records
      .filter(({ beforeTls }) => !beforeTls)
      .map((record) => Uint8Array.from(Buffer.from(record.hex, 'hex'))),
  };
}

/** TSRequests of one side, in order; what follows them is MCS. */
function requestsOf(path: string, fromServer: boolean): Uint8Array[] {
  const { records } = readCapture(path);
  const ofSide = records.filter((record) => record.fromServer === fromServer && !record.beforeTls);
  const bytes = Buffer.concat(ofSide.map((record) => record.bytes));
  const found: Uint8Array[] = [];
  for (let at = 0; bytes[at] === 0x30; ) {
    const length = connectFrameLength(bytes, at, bytes.length);
    if (length === 0 || at + length > bytes.length) break;
    found.push(bytes.subarray(at, at + length));
    at += length;
  }
  return found;
}

function tokensOf(requests: TsRequest[]): Uint8Array[] {
  return requests.flatMap(({ negoTokens }) => negoTokens ?? []);
}

/** Every layer comes back as it was read; what kinds of tokens there were. */
function readThrough(path: string): string[] {
  const kinds: string[] = [];
  for (const fromServer of [false, true]) {
    const raw = requestsOf(path, fromServer);
    const requests = raw.map((bytes) => decode(tsRequest, bytes));
    requests.forEach((request, at) => {
      assert.equal(hex(encode(tsRequest, request)), hex(raw[at]!));
    });
    for (const token of tokensOf(requests)) kinds.push(readToken(token));
  }
  return kinds;
}

function readToken(token: Uint8Array): string {
  if (!auth.isNtlm(token)) {
    const spnego = auth.readSpnego(token);
    assert.equal(hex(auth.spnegoBytes(spnego)), hex(token));
    const inner = spnego.kind === 'init' ? spnego.mechToken : spnego.responseToken;
    if (inner !== undefined && auth.isNtlm(inner)) readToken(inner);
    return spnego.kind;
  }
  const codecs = [auth.ntlmNegotiate, auth.ntlmChallenge, auth.ntlmAuthenticate];
  const codec = codecs[token[8]! - 1]!;
  const again = encode(codec as typeof auth.ntlmNegotiate, decode(codec as typeof auth.ntlmNegotiate, token));
  assert.equal(hex(again), hex(token));
  return codec.name;
}

test('TSRequests, SPNEGO and NTLM of our own captures come back byte for byte', () => {
  const names = readdirSync(own).filter((name) => /^gnome.*gz$|nla.*gz$/.test(name));
  assert.ok(names.length >= 4);
  const kinds = names.map((name) => readThrough(own + name));
  for (const found of kinds) assert.ok(found.length >= 3, String(found));
});

test('those of Windows come back too, Kerberos and smart cards included', { skip }, () => {
  const names = readdirSync(windows!).filter((name) => /^rdp-(?:nla|restricted).*gz$/.test(name));
  const kinds = new Map(names.map((name) => [name.replace('.rdpcap.gz', ''), readThrough(join(windows!, name))]));
  // Where standard security was refused nothing came of it.
  for (const [name, found] of kinds) assert.ok(found.length >= 3 || name.endsWith('-1'), `${name}: ${found}`);
  assert.ok(kinds.get('rdp-nla-kerberos-auth1-0')!.every((kind) => kind === 'init' || kind === 'resp'));
  assert.ok(kinds.get('rdp-nla-ntlm-rejected1-0')!.every((kind) => kind.startsWith('NTLM')));
});

test('our client computes what mstsc sent: NTProofStr, MIC, session key', { skip }, () => {
  const { password, messages } = recorded();
  const [first, second, third] = messages.map((bytes) => decode(tsRequest, bytes));
  const [negotiate, challenge, authenticate] = [first, second, third].map((request) => request!.negoTokens![0]!);
  const sent = decode(auth.ntlmAuthenticate, authenticate!);
  const field = (of: auth.NtlmField): Uint8Array => auth.fieldOf(authenticate!, of, auth.authenticateBytes);
  const text = (of: auth.NtlmField): string => Buffer.from(field(of)).toString('utf16le');
  const response = field(sent.ntResponse);
  const responseKey = auth.responseKeyOf(auth.ntHashOf(password), text(sent.user), text(sent.domain));
  const { serverChallenge } = decode(auth.ntlmChallenge, challenge!);
  const proof = auth.proofOf(responseKey, serverChallenge, response.slice(16));
  assert.equal(hex(proof), hex(response.subarray(0, 16)));
  const exportedKey = auth.exchangeKey(auth.sessionBaseKeyOf(responseKey, proof), field(sent.sessionKey));
  assert.ok(hex(exportedKey).startsWith('edeadac4'));
  const mic = auth.micOf(exportedKey, negotiate!, challenge!, authenticate!);
  assert.equal(hex(mic), hex(authenticate!.subarray(auth.micOffset, auth.micEnd)));
  // The hash of a certificate nobody kept: that the signature is right shows that it was opened as it was sealed.
  const bound = new auth.NtlmSealing(exportedKey, 'server').open(third!.pubKeyAuth!);
  assert.equal(bound.length, 32);
});

/** The server of ours in the place of the recorded one: its first random bytes are the recorded challenge. */
function replay(password: string | null, spoil: (message: Uint8Array) => Uint8Array = (message) => message) {
  const [negotiate, challenge, authenticate] = recorded().messages.map(
    (bytes) => decode(tsRequest, bytes).negoTokens?.[0],
  );
  const { serverChallenge } = decode(auth.ntlmChallenge, challenge!);
  const server = new auth.NtlmServer('TARGET', { randomBytes: () => serverChallenge, nowMs: () => 0 });
  server.challenge(negotiate!);
  const claimed = server.claim(spoil(authenticate!));
  return { claimed, check: () => server.check(password === null ? null : auth.ntHashOf(password)) };
}

test('our server knows the right password from wrong ones in what mstsc sent', { skip }, () => {
  const { password } = recorded();
  const { claimed } = replay(password);
  assert.equal(claimed.user, 'Administrator');
  assert.equal(claimed.domain, 'IT-HELP');
  assert.equal(claimed.targetName, 'TERMSRV/10.10.0.10');
  assert.equal(replay(`${password}x`).check(), null);
  assert.equal(replay(null).check(), null);
  // The password is right; the MIC covers a challenge that was ours and not Windows'.
  assert.throws(() => replay(password).check(), /MIC/);
  // The name is part of what is proven.
  const otherUser = (message: Uint8Array): Uint8Array => message.with(0x66, 0x62);
  assert.equal(replay(password, otherUser).check(), null);
});

test('our client takes the refusal of Windows for what it is', { skip }, () => {
  const { messages } = recorded();
  const client = new auth.CredSspClient(clientOptions());
  client.start();
  assert.ok(client.step(messages[1]!).output.length > 400);
  const { events } = client.step(messages[3]!);
  assert.deepEqual(
    events.map((event) => (event.kind === 'ended' ? [event.how, event.code] : event.kind)),
    [['ntlmRefused', 0x80090302]],
  );
});
