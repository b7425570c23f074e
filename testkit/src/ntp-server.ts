/** An NTP server of our own over UDP, for tests: its clock is as wrong as it is told, and it can lie about more. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

export interface NtpBehaviour {
  /** How far its clock is ahead of this machine's. */
  aheadMs: number;
  /** What it says of its way to its own source. */
  rootDelayMs: number;
  rootDispersionMs: number;
  stratum: number;
  leap: number;
  /** `silent`: no answer; `foreign`: an answer to another question before none; `both`: before the right one; `kiss`: it sends away (RATE). */
  answers: 'right' | 'silent' | 'foreign' | 'both' | 'kiss';
}

const secondsTo1970 = 2_208_988_800;

export class NtpServer {
  readonly behaviour: NtpBehaviour;
  readonly #socket: Socket;
  requestsCount = 0;

  private constructor(socket: Socket, behaviour: NtpBehaviour) {
    this.#socket = socket;
    this.behaviour = behaviour;
    socket.on('message', (request, { port, address }) => {
      this.requestsCount += 1;
      for (const answer of this.#answersTo(request)) socket.send(answer, port, address);
    });
  }

  /** On a port of its own on 127.0.0.1. */
  static async start(behaviour: Partial<NtpBehaviour> = {}): Promise<NtpServer> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const usual: NtpBehaviour = {
      aheadMs: 0,
      rootDelayMs: 1,
      rootDispersionMs: 2,
      stratum: 2,
      leap: 0,
      answers: 'right',
    };
    return new NtpServer(socket, { ...usual, ...behaviour });
  }

  get port(): number {
    return this.#socket.address().port;
  }

  #answersTo(request: Buffer): Buffer[] {
    const { answers } = this.behaviour;
    if (answers === 'silent' || request.length < 48) return [];
    const right = this.#answer(request.subarray(40, 48));
    if (answers === 'right') return [right];
    if (answers === 'kiss') {
      right[1] = 0;
      right.write('RATE', 12, 'latin1');
      return [right];
    }
    const foreign = this.#answer(Buffer.alloc(8, 7), 3_600_000);
    return answers === 'both' ? [foreign, right] : [foreign];
  }

  #answer(nonce: Uint8Array, moreMs = 0): Buffer {
    const { aheadMs, rootDelayMs, rootDispersionMs, stratum, leap } = this.behaviour;
    const packet = Buffer.alloc(48);
    packet[0] = (leap << 6) | (4 << 3) | 4;
    packet[1] = stratum;
    packet[2] = 6;
    packet.writeInt8(-20, 3);
    packet.writeUInt32BE(Math.round((rootDelayMs / 1000) * 65536), 4);
    packet.writeUInt32BE(Math.round((rootDispersionMs / 1000) * 65536), 8);
    packet.set([127, 0, 0, 1], 12);
    packet.set(nonce, 24);
    const ms = performance.timeOrigin + performance.now() + aheadMs + moreMs;
    for (const at of [32, 40]) {
      packet.writeUInt32BE((Math.floor(ms / 1000) + secondsTo1970) % 2 ** 32, at);
      packet.writeUInt32BE(Math.floor(((ms % 1000) / 1000) * 2 ** 32), at + 4);
    }
    return packet;
  }

  async stop(): Promise<void> {
    const closed = once(this.#socket, 'close');
    this.#socket.close();
    await closed;
  }
}
