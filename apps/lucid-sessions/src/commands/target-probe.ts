/** Whether a host can be recorded, found out before a person is asked to connect to it. */
import { connect } from 'node:net';
import {
  NegotiationFailureCode,
  Protocol,
  tpkt,
  x224ConnectionConfirm,
  x224ConnectionRequest,
} from '@lucid-sessions/rdp';
import { decode, encode } from '@lucid-sessions/wire';
import { CliError } from '../cli/output.ts';
import { systemText } from '../cli/system-text.ts';

const answerWithinMs = 10_000;
/** TPKT, X.224 and the negotiation's answer are 19 bytes; a length above this is no answer. */
const answerBytesMax = 512;

/** Asks `host:port` by an X.224 Connection Request for TLS, and takes no more than its answer. Throws what keeps it from being recorded. */
export async function probeTarget(host: string, port: number): Promise<void> {
  const name = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const answer = await firstAnswer(name, host, port);
  let negotiation: ReturnType<typeof x224ConnectionConfirm.decode>['negotiation'];
  try {
    negotiation = decode(x224ConnectionConfirm, decode(tpkt, answer).payload).negotiation;
  } catch {
    throw new CliError(`what answers at ${name} does not speak RDP`);
  }
  if (negotiation?.kind === 'response' && negotiation.selectedProtocol === Protocol.ssl) return;
  const wantsLogon =
    negotiation?.kind === 'failure' && negotiation.failureCode === NegotiationFailureCode.hybridRequiredByServer;
  throw new CliError(
    wantsLogon
      ? `${name} demands network level authentication (NLA), for which the demo has no credentials: run "lucid-sessions up" and "lucid-sessions sessions create ${name} --target-user NAME --target-password-file FILE"`
      : `${name} has no TLS: turn it on there`,
  );
}

function firstAnswer(name: string, host: string, port: number): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const socket = connect({ host, port });
  const fail = (problem: string): void => reject(new CliError(`${name} can't be reached: ${problem}`));
  let answer = Buffer.alloc(0);
  socket.setTimeout(answerWithinMs, () => fail(`no answer in ${answerWithinMs / 1000} s`));
  socket.on('error', (error) => fail(systemText(error)));
  socket.on('close', () => (answer.length > 0 ? resolve(answer) : fail('it closed the connection')));
  socket.on('connect', () => {
    const request = encode(x224ConnectionRequest, {
      destinationReference: 0,
      sourceReference: 0,
      classOption: 0,
      negotiation: { flags: 0, requestedProtocols: Protocol.ssl },
    });
    socket.write(encode(tpkt, { reserved: 0, payload: request }));
  });
  socket.on('data', (bytes: Buffer) => {
    answer = Buffer.concat([answer, bytes]);
    const length = answer.length < 4 ? 4 : answer.readUInt16BE(2);
    if (answer.length >= Math.min(length, answerBytesMax)) resolve(answer.subarray(0, length));
  });
  return promise.finally(() => socket.destroy());
}
