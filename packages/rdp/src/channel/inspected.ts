import type { DecodeError } from '@lucid-sessions/wire';
import type { ConfirmActive, DeactivateAll, DemandActive } from '../pdu/activation.ts';
import type { ClientInfo } from '../pdu/client-info.ts';
import type { TsRequest } from '../pdu/credssp.ts';
import type { FastPathInput, FastPathOutput } from '../pdu/fast-path.ts';
import type { ConferenceCreateRequest, ConferenceCreateResponse } from '../pdu/gcc.ts';
import type { LicensePdu } from '../pdu/licensing.ts';
import type { McsPdu } from '../pdu/mcs.ts';
import type { EnhancedServerRedirection } from '../pdu/redirection.ts';
import type { ShareDataPdu } from '../pdu/share.ts';
import type { X224ConnectionConfirm, X224ConnectionRequest } from '../pdu/x224.ts';
import type { DynamicChannelPdu } from './dynamic-channel.ts';
import type { ChannelChunk } from './static-channel.ts';

/** Who sent the bytes. */
export type Sender = 'client' | 'server';

/**
 * What a `StreamInspector` saw. One PDU may give several: a chunk, and the message it completed. Byte fields are views
 * of the pushed bytes unless they had to be decompressed or put together: copy what must outlive the push.
 * `null` data could not be decompressed (no hook, or one that doesn't know the type).
 */
export type Inspected =
  | { kind: 'credssp'; request: TsRequest }
  | { kind: 'earlyUserAuthResult'; result: number }
  | { kind: 'connectionRequest'; request: X224ConnectionRequest }
  | { kind: 'connectionConfirm'; confirm: X224ConnectionConfirm }
  | { kind: 'connectInitial'; conference: ConferenceCreateRequest }
  | { kind: 'connectResponse'; conference: ConferenceCreateResponse }
  /** X.224 Disconnect Request or Error: the sender is leaving. */
  | { kind: 'x224Disconnect'; reason: number }
  /** Every domain PDU that carries no data. */
  | { kind: 'mcs'; pdu: McsPdu }
  | { kind: 'clientInfo'; info: ClientInfo }
  | { kind: 'license'; license: LicensePdu }
  /** A PDU of the message channel (auto-detect, multitransport, heartbeat), told apart by its security flags. */
  | { kind: 'messageChannel'; securityFlags: number; data: Uint8Array }
  | { kind: 'demandActive'; demand: DemandActive }
  | { kind: 'confirmActive'; confirm: ConfirmActive }
  | { kind: 'deactivateAll'; deactivate: DeactivateAll }
  | { kind: 'serverRedirection'; redirection: EnhancedServerRedirection }
  /** `data` is the decompressed body. */
  | { kind: 'shareData'; pdu: ShareDataPdu; data: Uint8Array | null }
  /** A flow PDU of T.128, which RDP never defined further. */
  | { kind: 'flow'; data: Uint8Array }
  | { kind: 'fastPathInput'; input: FastPathInput }
  | { kind: 'fastPathOutput'; output: FastPathOutput }
  /** A whole graphics or pointer update in fast-path numbering (`FastPathUpdateCode`), decompressed and reassembled. */
  | { kind: 'fastPathUpdate'; updateCode: number; data: Uint8Array | null }
  /** A slow-path update (`UpdateType`), decompressed; `data` follows the update type. */
  | { kind: 'slowPathUpdate'; updateType: number; data: Uint8Array }
  | { kind: 'channelChunk'; channelId: number; channelName: string; chunk: ChannelChunk }
  | { kind: 'channelMessage'; channelId: number; channelName: string; message: Uint8Array | null }
  /** `channelName` is null when the channel's creation was not seen. */
  | { kind: 'dynamicChannel'; pdu: DynamicChannelPdu; channelName: string | null }
  | { kind: 'dynamicMessage'; channelId: number; channelName: string | null; message: Uint8Array | null }
  /** Framed, but its contents are not what its place in the stream says. */
  | { kind: 'malformed'; error: DecodeError; bytes: Uint8Array };

export type InspectedKind = Inspected['kind'];

/** One event: `frame` counts the sender's PDUs from 0. */
export type InspectedEvent = Inspected & { sender: Sender; frame: number; frameBytes: number };

/** Undoes bulk compression of one direction: `flags` are type and PACKET_* bits. May throw `DecodeError`. */
export type BulkHook = (data: Uint8Array, flags: number) => Uint8Array;
