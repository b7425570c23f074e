import { DecodeError, encode } from '@lucid-sessions/wire';
import { GatewayError, type GatewayErrorCode } from './errors.ts';
import { gatewayText } from './fields.ts';
import {
  ChannelResponseField,
  dataHeaderBytes,
  ExtendedAuth,
  GatewayCapability,
  type GatewayPacket,
  GatewayPacketType,
  GatewayRedirection,
  gatewayPacket,
  TunnelAuthResponseField,
  TunnelField,
  TunnelResponseField,
} from './packet.ts';
import { PacketReader } from './packet-reader.ts';

/** Where a client of the gateway stands; what is waited for. */
export type GatewayState =
  | 'handshake'
  | 'tunnelCreate'
  /** `acceptTunnel` or `finish`. */
  | 'tunnelDecision'
  | 'tunnelAuth'
  | 'channelCreate'
  /** `acceptChannel` or `finish`. */
  | 'channelDecision'
  /** Data goes both ways. */
  | 'open'
  | 'ended';

export type GatewayEnding =
  /** It closed the channel or the connection. */
  | 'left'
  | 'late'
  | 'garbage'
  /** It was told why. */
  | 'refused'
  /** By this side. */
  | 'closed';

export type GatewayEvent =
  /** It wants a tunnel. `cookie`: what its .rdp file gave it, a secret; '' where it has none. */
  | { kind: 'tunnel'; cookie: string }
  /** It wants to reach a host, by any of these names. */
  | { kind: 'channel'; names: string[]; port: number; clientName: string }
  /** Bytes of the connection inside, valid during the step only. */
  | { kind: 'data'; bytes: Uint8Array }
  /** Send the output and close. */
  | { kind: 'ended'; how: GatewayEnding; at: GatewayState; problem: string };

/** Packets to send, each as one message where the transport has messages; then things to know, in order. */
export interface GatewayStep {
  packets: Uint8Array[];
  events: GatewayEvent[];
}

const versionMajor = 1;
const rdpProtocol = 3;
/** A cookie of ours is far shorter; text of a client that is kept is bounded. */
const cookieCharactersMax = 512;
const nameCharactersMax = 256;
const tunnelId = 1;
const channelId = 1;
/** One TLS record with room for the frame around it. */
const dataBytesMax = 16_000;

/** Data packets around `bytes`. */
export function dataPackets(bytes: Uint8Array): Uint8Array[] {
  const packets: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += dataBytesMax) {
    const data = bytes.subarray(at, at + dataBytesMax);
    const packet = new Uint8Array(dataHeaderBytes + data.length);
    const view = new DataView(packet.buffer);
    view.setUint16(0, GatewayPacketType.data, true);
    view.setUint32(4, packet.length, true);
    view.setUint16(8, data.length, true);
    packet.set(data, dataHeaderBytes);
    packets.push(packet);
  }
  return packets;
}

const bounded = (text: string, charactersMax: number): string => {
  if (!(text.length <= charactersMax)) throw new DecodeError('limit', `a text of ${text.length} characters`);
  return text;
};

/**
 * An RD Gateway towards one client, [MS-TSGU] 3.3.5, over WebSocket or HTTP, without sockets: from its handshake to the channel,
 * and what the channel carries. Who has no cookie is refused; nothing else lets anybody in. Input may come in any pieces. Never
 * throws on input: what can't go on ends.
 */
export class GatewayServer {
  #state: GatewayState = 'handshake';
  #clientName = '';
  #capabilities = 0;
  #packets: Uint8Array[] = [];
  #events: GatewayEvent[] = [];
  readonly #reader = new PacketReader({
    packet: (packet) => this.#take(packet),
    data: (bytes) => this.#data(bytes),
  });

  get state(): GatewayState {
    return this.#state;
  }

  step(input: Uint8Array): GatewayStep {
    if (this.#state === 'ended') return this.#flush();
    try {
      this.#reader.push(input);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#end('garbage', error.message);
    }
    return this.#flush();
  }

  /** The cookie is good. */
  acceptTunnel(): GatewayStep {
    if (this.#state !== 'tunnelDecision') return this.#flush();
    this.#send({
      kind: 'tunnelResponse',
      serverVersion: versionMajor,
      errorCode: GatewayError.ok,
      fieldsPresent: TunnelResponseField.tunnelId | TunnelResponseField.capabilities,
      reserved: 0,
      tunnelId,
      capabilities: this.#capabilities,
    });
    this.#state = 'tunnelAuth';
    return this.#flush();
  }

  /** The host it named is the one its cookie opens. */
  acceptChannel(): GatewayStep {
    if (this.#state !== 'channelDecision') return this.#flush();
    this.#answerChannel(GatewayError.ok);
    this.#state = 'open';
    return this.#flush();
  }

  /** No to what it asked for, or the end of an open channel, with a code that its user reads. */
  finish(code: GatewayErrorCode, problem: string): GatewayStep {
    if (this.#state === 'ended') return this.#flush();
    this.#sayNo(code);
    this.#end(this.#state === 'open' ? 'closed' : 'refused', problem);
    return this.#flush();
  }

  /** The driver saw the connection end, or lost patience. */
  stop(how: 'left' | 'late', problem: string): GatewayStep {
    if (this.#state !== 'ended') this.#end(how, problem);
    return this.#flush();
  }

  #flush(): GatewayStep {
    const step = { packets: this.#packets, events: this.#events };
    this.#packets = [];
    this.#events = [];
    return step;
  }

  #send(packet: GatewayPacket): void {
    this.#packets.push(encode(gatewayPacket, packet));
  }

  #end(how: GatewayEnding, problem: string): void {
    this.#events.push({ kind: 'ended', how, at: this.#state, problem });
    this.#state = 'ended';
  }

  #sayNo(errorCode: GatewayErrorCode): void {
    switch (this.#state) {
      case 'handshake':
        this.#answerHandshake(errorCode);
        return;
      case 'tunnelCreate':
      case 'tunnelDecision':
        this.#send({ kind: 'tunnelResponse', serverVersion: versionMajor, errorCode, fieldsPresent: 0, reserved: 0 });
        return;
      case 'tunnelAuth':
        this.#send({ kind: 'tunnelAuthResponse', errorCode, fieldsPresent: 0, reserved: 0 });
        return;
      case 'channelCreate':
      case 'channelDecision':
        this.#answerChannel(errorCode);
        return;
      default:
        this.#send({ kind: 'closeChannel', statusCode: errorCode });
    }
  }

  #answerHandshake(errorCode: GatewayErrorCode): void {
    const extendedAuth = ExtendedAuth.paa;
    this.#send({
      kind: 'handshakeResponse',
      errorCode,
      versionMajor,
      versionMinor: 0,
      serverVersion: 0,
      extendedAuth,
    });
  }

  #answerChannel(errorCode: GatewayErrorCode): void {
    const isOpen = errorCode === GatewayError.ok;
    const fieldsPresent = isOpen ? ChannelResponseField.channelId : 0;
    this.#send({
      kind: 'channelResponse',
      errorCode,
      fieldsPresent,
      reserved: 0,
      ...(isOpen ? { channelId } : {}),
    });
  }

  #data(bytes: Uint8Array): void {
    if (this.#state === 'ended') return;
    if (this.#state !== 'open') throw new DecodeError('invalid', 'data before the channel is open');
    this.#events.push({ kind: 'data', bytes });
  }

  #take(packet: GatewayPacket): void {
    if (this.#state === 'ended') return;
    switch (packet.kind) {
      case 'keepAlive':
      case 'unknown':
      case 'closeChannelResponse':
        return;
      case 'closeChannel':
        this.#send({ kind: 'closeChannelResponse', statusCode: GatewayError.ok });
        this.#end('left', 'the client closed its channel');
        return;
      default:
        this.#ask(packet);
    }
  }

  #ask(packet: GatewayPacket): void {
    const expected: string = this.#state === 'handshake' ? 'handshakeRequest' : this.#state;
    if (packet.kind !== expected) throw new DecodeError('invalid', `${packet.kind} while waiting for ${this.#state}`);
    switch (packet.kind) {
      case 'handshakeRequest':
        this.#handshake(packet);
        return;
      case 'tunnelCreate':
        this.#tunnelCreate(packet);
        return;
      case 'tunnelAuth':
        this.#tunnelAuth(packet);
        return;
      case 'channelCreate':
        this.#channelCreate(packet);
    }
  }

  #handshake(packet: GatewayPacket & { kind: 'handshakeRequest' }): void {
    if (packet.versionMajor !== versionMajor)
      this.#refuseNow(GatewayError.notSupported, `version ${packet.versionMajor} of the gateway protocol`);
    else if ((packet.extendedAuth & ExtendedAuth.paa) === 0)
      this.#refuseNow(GatewayError.unsupportedAuthentication, 'the client has no gatewayaccesstoken');
    else {
      this.#answerHandshake(GatewayError.ok);
      this.#state = 'tunnelCreate';
    }
  }

  #tunnelCreate(packet: GatewayPacket & { kind: 'tunnelCreate' }): void {
    if ((packet.fieldsPresent & TunnelField.reauth) !== 0) {
      this.#refuseNow(GatewayError.capabilityMismatch, 'the client authenticates again, which was not offered');
      return;
    }
    const cookie = bounded(gatewayText(packet.paaCookie ?? new Uint8Array(0)), cookieCharactersMax);
    this.#capabilities = packet.capabilities & GatewayCapability.idleTimeout;
    this.#state = 'tunnelDecision';
    this.#events.push({ kind: 'tunnel', cookie });
  }

  #tunnelAuth(packet: GatewayPacket & { kind: 'tunnelAuth' }): void {
    this.#clientName = gatewayText(packet.clientName).slice(0, nameCharactersMax);
    // What may be redirected is the relay's to say; sessions end by their own limits.
    this.#send({
      kind: 'tunnelAuthResponse',
      errorCode: GatewayError.ok,
      fieldsPresent: TunnelAuthResponseField.redirection | TunnelAuthResponseField.idleTimeout,
      reserved: 0,
      redirectionFlags: GatewayRedirection.enableAll,
      idleTimeoutMinutes: 0,
    });
    this.#state = 'channelCreate';
  }

  #channelCreate({ resources, alternatives, port, protocol }: GatewayPacket & { kind: 'channelCreate' }): void {
    if (protocol !== rdpProtocol) {
      this.#refuseNow(GatewayError.notSupported, `protocol ${protocol} instead of RDP`);
      return;
    }
    const names = [...resources, ...alternatives].map((name) => bounded(gatewayText(name), nameCharactersMax));
    this.#state = 'channelDecision';
    this.#events.push({ kind: 'channel', names, port, clientName: this.#clientName });
  }

  #refuseNow(code: GatewayErrorCode, problem: string): void {
    this.#sayNo(code);
    this.#end('refused', problem);
  }
}
