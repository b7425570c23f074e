/** The front sequence with a logon in it, towards a client of ours, in pieces of any size. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { CredSspClient, CredSspServer, LogonStatus, ntHashOf } from '../src/auth/index.ts';
import {
  ErrorInfo,
  Front,
  type FrontEvent,
  mcsConnectInitial,
  NegotiationFailureCode,
  type NlaPolicy,
  Protocol,
  type Step,
  tpkt,
  x224ConnectionConfirm,
  x224ConnectionRequest,
  x224Data,
  x224Frame,
} from '../src/index.ts';
import { clientOptions, serverOptions } from './auth/pair.ts';

const password = clientOptions().credentials.password;

const requestFor = (requestedProtocols: number): Uint8Array =>
  x224Frame(x224ConnectionRequest, {
    destinationReference: 0,
    sourceReference: 0,
    classOption: 0,
    negotiation: { flags: 0, requestedProtocols },
  });

const empty = {
  maxChannelIds: 1,
  maxUserIds: 1,
  maxTokenIds: 0,
  numPriorities: 1,
  minThroughput: 0,
  maxHeight: 1,
  maxMcsPduSize: 65535,
  protocolVersion: 2,
};
const connectInitial = x224Frame(x224Data, {
  payload: encode(mcsConnectInitial, {
    callingDomainSelector: Uint8Array.of(1),
    calledDomainSelector: Uint8Array.of(1),
    upwardFlag: 0xff,
    targetParameters: empty,
    minimumParameters: empty,
    maximumParameters: empty,
    userData: new Uint8Array(4),
  }),
});

interface Play {
  kinds: string[];
  selected: number;
  client: string[];
  handedOver: Uint8Array;
}

/** Both sides until nothing moves; the gateway says `answer` about the account. */
function play(
  protocols: number,
  sizes: readonly number[],
  answer: (front: Front) => Step<FrontEvent>,
  policy: NlaPolicy = 'offered',
): Play {
  const front = new Front(policy);
  const played: Play = { kinds: [], selected: -1, client: [], handedOver: new Uint8Array(0) };
  let client: CredSspClient | null = null;
  const toClient = (bytes: Uint8Array): void => {
    if (client === null || bytes.length === 0) return;
    const { output, events } = client.step(bytes);
    played.client.push(...events.map((event) => (event.kind === 'ended' ? `${event.how} ${event.code}` : event.kind)));
    toFront(output);
    // MCS comes right behind the last message, as some clients glue it.
    if (client.state === 'done' && events.length > 0) toFront(connectInitial);
  };
  const run = (step: Step<FrontEvent>): void => {
    for (const event of step.events) {
      played.kinds.push(event.kind === 'ended' ? `${event.how} at ${event.at}` : event.kind);
      if (event.kind === 'account') run(answer(front));
    }
    toClient(step.output);
  };
  const toFront = (bytes: Uint8Array): void => {
    for (let at = 0, i = 0; at < bytes.length; i += 1) {
      const piece = bytes.slice(at, at + sizes[i % sizes.length]!);
      at += piece.length;
      run(front.step(piece));
    }
  };
  toFront(requestFor(protocols));
  if (front.state !== 'decision') return played;
  run(front.logOn(1, (earlyAuthorization) => new CredSspServer(serverOptions({ earlyAuthorization }))));
  const confirm = decode(x224ConnectionConfirm, decode(tpkt, front.confirm).payload).negotiation;
  played.selected = confirm?.kind === 'response' ? confirm.selectedProtocol : -1;
  run(front.tlsEstablished());
  client = new CredSspClient(clientOptions({ earlyAuthorization: played.selected === Protocol.hybridEx }));
  toFront(client.start().output);
  played.handedOver = front.handOver();
  return played;
}

const anySizes = fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 8 });
const right = (front: Front): Step<FrontEvent> => front.account(ntHashOf(password));

test('a client that knows the password begins, in any pieces; HYBRID_EX only where nothing else is offered', () => {
  fc.assert(
    fc.property(fc.constantFrom(0x3, 0x2, 0xb, 0x8, 0x9), anySizes, (protocols, sizes) => {
      const { kinds, selected, client, handedOver } = play(protocols, sizes, right);
      assert.deepEqual(kinds, ['connectionRequest', 'startTls', 'account', 'loggedOn', 'connectInitial']);
      assert.equal(selected, (protocols & Protocol.hybrid) === 0 ? Protocol.hybridEx : Protocol.hybrid);
      assert.deepEqual(client, ['loggedOn']);
      assert.deepEqual(handedOver, connectInitial);
    }),
    { numRuns: 60 },
  );
});

const answers: [string, (front: Front) => Step<FrontEvent>, string, string][] = [
  ['nobody', (front) => front.account(null), 'wrongPassword', `wrongPassword ${LogonStatus.logonFailure}`],
  [
    'another password',
    (front) => front.account(ntHashOf('x')),
    'wrongPassword',
    `wrongPassword ${LogonStatus.logonFailure}`,
  ],
  [
    'too old',
    (front) => front.account(ntHashOf(password), LogonStatus.accountExpired),
    'denied',
    `accountExpired ${LogonStatus.accountExpired}`,
  ],
  [
    'too old and another password',
    (front) => front.account(ntHashOf('x'), LogonStatus.accountExpired),
    'wrongPassword',
    `wrongPassword ${LogonStatus.logonFailure}`,
  ],
  [
    'locked',
    (front) => front.deny(LogonStatus.accountLockedOut),
    'denied',
    `accountLocked ${LogonStatus.accountLockedOut}`,
  ],
  [
    'a refusal of the gateway',
    (front) => front.refuse(ErrorInfo.serverDeniedConnection.code),
    'denied',
    `noAuthority ${LogonStatus.noLogonServers}`,
  ],
];

for (const [what, answer, ending, told] of answers)
  test(`${what} is told in CredSSP`, () => {
    let asked: Front | null = null;
    const { kinds, client, handedOver } = play(Protocol.hybrid, [4000], (front) => {
      asked = front;
      return answer(front);
    });
    assert.deepEqual(kinds, ['connectionRequest', 'startTls', 'account', 'logonRefused at credssp']);
    assert.deepEqual(client, [told]);
    assert.equal((asked as Front | null)?.logonEnding, ending);
    assert.equal(handedOver.length, 0);
  });

test('where a logon is demanded or impossible, that is said before TLS', () => {
  const codeOf = (protocols: number, policy: NlaPolicy): number => {
    const front = new Front(policy);
    front.step(requestFor(protocols));
    const answer = decode(x224ConnectionConfirm, decode(tpkt, front.confirm).payload).negotiation;
    return answer?.kind === 'failure' ? answer.failureCode : 0;
  };
  assert.equal(codeOf(Protocol.ssl, 'required'), NegotiationFailureCode.hybridRequiredByServer);
  assert.equal(codeOf(Protocol.hybrid, 'off'), NegotiationFailureCode.sslRequiredByServer);
  assert.equal(codeOf(Protocol.rdp, 'offered'), NegotiationFailureCode.sslRequiredByServer);
  const front = new Front('offered');
  front.step(requestFor(Protocol.hybrid));
  const { events } = front.refuse(ErrorInfo.serverDeniedConnection.code);
  assert.deepEqual(
    events.map((event) => event.kind === 'ended' && event.how),
    ['noTls'],
    'it could not read a refusal',
  );
});
