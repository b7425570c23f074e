/** One question to an NTP server over UDP. */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import type { ClockSample } from './clock-agreement.ts';
import { ntpRequest, readNtpAnswer } from './ntp-packet.ts';

export interface NtpServer {
  host: string;
  port: number;
}

export interface AskOptions {
  /** Of the clock that is compared, µs since 1970. */
  wallUs: () => number;
  timeoutMs: number;
}

/** A clock of 15 ppm of drift: what it may go wrong while the question is under way. */
const driftShare = 15e-6;

/** Throws an `Error` for a person: no answer, or one that is not to be used. Answers to other questions are passed over. */
export async function askNtp({ host, port }: NtpServer, { wallUs, timeoutMs }: AskOptions): Promise<ClockSample> {
  const { address, family } = await lookup(host);
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
  const nonce = new Uint8Array(randomBytes(8));
  try {
    return await new Promise<ClockSample>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('it does not answer')), timeoutMs);
      timer.unref();
      socket.on('error', (error: NodeJS.ErrnoException) =>
        reject(new Error(error.code === 'ECONNREFUSED' ? 'nothing listens there' : (error.code ?? error.message))),
      );
      let [askedUs, askedMs] = [0, 0];
      socket.on('message', (packet) => {
        // By the monotonic clock: a step of the other in between would be taken for the way.
        const tookUs = (performance.now() - askedMs) * 1000;
        const answer = readNtpAnswer(packet, nonce, askedUs);
        if (answer === null) return;
        clearTimeout(timer);
        if (typeof answer === 'string') return reject(new Error(answer));
        const serverUs = answer.sentUs - answer.receivedUs;
        const delayUs = Math.max(tookUs - serverUs, 0);
        const offsetUs = (answer.receivedUs + answer.sentUs) / 2 - (askedUs + tookUs / 2);
        const errorUs =
          answer.rootDelayUs / 2 + answer.rootDispersionUs + delayUs / 2 + answer.precisionUs + driftShare * tookUs;
        resolve({ offsetUs: Math.round(offsetUs), errorUs: Math.ceil(errorUs) });
      });
      // Connected, the socket hears this server alone.
      socket.connect(port, address, () => {
        askedUs = wallUs();
        askedMs = performance.now();
        socket.send(ntpRequest(nonce));
      });
    });
  } finally {
    socket.close();
  }
}
