/** What a connection needs of the recorder around it, and what it is when it is ready to be relayed. */
import type { Duplex } from 'node:stream';
import type {
  ConnectionAttempt,
  PipelinePort,
  RecorderPresence,
  RecordingFact,
  Refusal,
  Route,
  SessionTicket,
  TargetCredentials,
} from '@lucid-sessions/contract';
import type { Splice } from '@lucid-sessions/rdp';
import type { Peer } from '../peer/peer.ts';
import type { NlaSettings } from './client-logon.ts';
import type { DialOptions } from './dial.ts';
import type { GatewayIdentity } from './identity.ts';
import type { Follow } from './redirection.ts';
import type { RefusalScreens } from './refuse.ts';
import type { WantedHost } from './wanted-host.ts';

/** Who comes in at a door: over TCP, or by what carries RDP inside a WebSocket. */
export interface Caller {
  /** Bytes both ways from the connection request on; half-open where the client ends first. */
  stream: Duplex;
  /** host:port or a host alone, IPv6 in brackets. */
  clientAddress: string;
  /** What the door knows it asks for; null: its connection request says so. */
  route: Route | null;
  /** The door leads to a session with this target alone. */
  wanted?: WantedHost;
  /** Another recorder passed it on: it goes no further. */
  isPassedOn?: boolean;
}

/**
 * The way to the recorder that holds a client's session, paused, for the client's bytes from the connection request on; that recorder
 * knows whose they are. Null: it can't be reached, or there is no room.
 */
export type PassOn = (caller: Caller, holder: RecorderPresence) => Promise<Duplex | null>;

/** A client that has begun and a target that waits for it, admitted. */
export interface ReadyConnection {
  connectionId: string;
  ticket: SessionTicket;
  client: Peer;
  target: Peer;
  /** The client was held: what stands between it and the relay. */
  splice: Splice | null;
  clientAddress: string;
  /** The name in its cookie. */
  clientName: string | null;
  targetAddress: string;
  /** What the gateway logs on with in the client's place; until they are put in. */
  credentials: TargetCredentials | null;
  /** The client logged on to the gateway: what its Client Info says is the gateway's own secret. */
  hasLoggedOn: boolean;
  /** PDUs exchanged before TLS, in order. */
  beforeTls: { fromServer: boolean; bytes: Uint8Array; flags: number }[];
  requestedProtocols: number;
  selectedProtocol: number;
  /** IronRDP's in a page of ours: it shows fewer than 32 bits per pixel wrongly, and has asked its user who logs on. */
  isBrowser?: boolean;
  /** Version and suite of the client's TLS. */
  clientTls: string;
  /** What was found out while connecting. */
  facts: RecordingFact[];
  /** Goes where the target sends its client on to. */
  follow: Follow;
}

/** Connections that never were one: they came no further than this. */
export type ProbeKind =
  /** TCP, and not a byte. */
  | 'tcp'
  /** Something that is no RDP. */
  | 'garbage'
  /** X.224, and TLS not to its end. */
  | 'x224'
  /** TLS, and nothing in it. */
  | 'tls';

export interface ConnectionContext {
  pipeline: Pick<PipelinePort, 'find' | 'approval' | 'targetCredentials' | 'admit' | 'logonAccount' | 'logonTried'>;
  identity: GatewayIdentity;
  nla: NlaSettings;
  recorderId: string;
  /** From the TCP connection to the client's first PDU. */
  handshakeMs: number;
  wallUs: () => number;
  dial: Pick<DialOptions, 'resolve' | 'denied' | 'kerberos'>;
  /** Why this connection may not continue the session its ticket `reconnects` to; null: it may, and the session waits for it. */
  whyNotReconnect: (ticket: SessionTicket, clientAddress: string) => Refusal | null;
  /** Why nothing of this session can be recorded now; null when it can. */
  recordingProblem: (ticket: SessionTicket) => string | null;
  /** A client that came no further and asked for nothing in particular. */
  onProbe: (kind: ProbeKind, address: string) => void;
  /** A connection that asked for something and became nothing. `detail` is for the operator's log. */
  onAttempt: (attempt: ConnectionAttempt, detail: string) => void;
  /** It is about to be admitted: yes, and `onReady` or `onGone` follows, or no: its address has too many that show no desktop. */
  onAdmitting: (ticket: SessionTicket, clientAddress: string) => boolean;
  onGone: (ticket: SessionTicket) => void;
  /** Has it noticed when its other side is gone while bytes for it are on the way. */
  watch: (stream: Duplex) => void;
  /** Admitted: from here on it is the session's. */
  onReady: (connection: ReadyConnection) => void;
  passOn: PassOn;
  /** How a client that is refused is told. */
  refusals: RefusalScreens;
  /** Something is wrong here. */
  onProblem: (message: string) => void;
}
