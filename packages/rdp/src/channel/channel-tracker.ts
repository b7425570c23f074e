import { DecodeError, decode } from '@lucid-sessions/wire';
import { dynamicChannelHistoryBytes, ZgfxDecompressor, type ZgfxSnapshot } from '../bulk/zgfx.ts';
import {
  DYNAMIC_CHANNEL_NAME,
  DYNAMIC_CHANNELS_MAX,
  type DynamicChannelPdu,
  DynamicReassembler,
  type DynamicReassemblerSnapshot,
  dynamicChannelClientPdu,
  dynamicChannelServerPdu,
} from './dynamic-channel.ts';
import type { BulkHook, Inspected, Sender } from './inspected.ts';
import { type ChannelChunk, ChannelFlag, ChannelReassembler, channelCompression } from './static-channel.ts';

interface DynamicTrackerSnapshot {
  readonly names: readonly (readonly [number, string])[];
  readonly histories: Readonly<Record<Sender, readonly (readonly [number, ZgfxSnapshot | null])[]>>;
  readonly client: readonly (readonly [number, DynamicReassemblerSnapshot | null])[];
  readonly server: readonly (readonly [number, DynamicReassemblerSnapshot | null])[];
}

/** Names of dynamic channels, and their messages put together, in both directions. */
class DynamicTracker {
  readonly #names = new Map<number, string>();
  readonly #parts: Record<Sender, Map<number, DynamicReassembler>> = { client: new Map(), server: new Map() };
  /** Of channels with compressed data ([MS-RDPEDYC] 3.1.5.1.3); null once something could not be decompressed. */
  readonly #histories: Record<Sender, Map<number, ZgfxDecompressor | null>> = { client: new Map(), server: new Map() };

  push(sender: Sender, message: Uint8Array): Inspected[] {
    const pdu = decode(sender === 'client' ? dynamicChannelClientPdu : dynamicChannelServerPdu, message);
    this.#track(pdu);
    const channelName = 'channelId' in pdu ? (this.#names.get(pdu.channelId) ?? null) : null;
    const events: Inspected[] = [{ kind: 'dynamicChannel', pdu, channelName }];
    const done = this.#data(sender, pdu);
    if (done) events.push({ kind: 'dynamicMessage', channelId: done.channelId, channelName, message: done.message });
    return events;
  }

  snapshot(): DynamicTrackerSnapshot {
    const parts = (sender: Sender) => [...this.#parts[sender]].map(([id, part]) => [id, part.snapshot()] as const);
    const past = (sender: Sender) =>
      [...this.#histories[sender]].map(([id, history]) => [id, history?.snapshot() ?? null] as const);
    const histories = { client: past('client'), server: past('server') };
    return { names: [...this.#names], histories, client: parts('client'), server: parts('server') };
  }

  restore(snapshot: DynamicTrackerSnapshot): void {
    this.#names.clear();
    for (const [id, name] of snapshot.names) this.#names.set(id, name);
    for (const sender of ['client', 'server'] as const) {
      this.#parts[sender].clear();
      for (const [id, part] of snapshot[sender]) this.#part(sender, id).restore(part);
      this.#histories[sender].clear();
      for (const [id, past] of snapshot.histories[sender]) {
        if (past) this.#history(sender, id)?.restore(past);
        else this.#histories[sender].set(id, null);
      }
    }
  }

  #track(pdu: DynamicChannelPdu): void {
    if (pdu.kind !== 'createRequest') return;
    if (this.#names.size >= DYNAMIC_CHANNELS_MAX && !this.#names.has(pdu.channelId))
      throw new DecodeError('limit', `more than ${DYNAMIC_CHANNELS_MAX} dynamic channels`);
    this.#names.set(pdu.channelId, pdu.channelName);
    this.#parts.client.delete(pdu.channelId);
    this.#parts.server.delete(pdu.channelId);
    this.#histories.client.delete(pdu.channelId);
    this.#histories.server.delete(pdu.channelId);
  }

  #data(sender: Sender, pdu: DynamicChannelPdu): { channelId: number; message: Uint8Array | null } | null {
    switch (pdu.kind) {
      case 'dataFirst':
        return whole(pdu.channelId, this.#part(sender, pdu.channelId).first(pdu.length, pdu.data));
      case 'data':
        return whole(pdu.channelId, this.#part(sender, pdu.channelId).next(pdu.data));
      case 'dataFirstCompressed':
      case 'dataCompressed':
        return this.#compressed(sender, pdu);
      default:
        return null;
    }
  }

  /** DYNVC_DATA_FIRST_COMPRESSED and DYNVC_DATA_COMPRESSED: [MS-RDPEDYC] 2.2.3.3 and 2.2.3.4. */
  #compressed(sender: Sender, pdu: CompressedPdu): { channelId: number; message: Uint8Array | null } | null {
    const { channelId } = pdu;
    const part = this.#part(sender, channelId);
    const data = this.#undo(sender, channelId, pdu.data);
    if (data === null) {
      part.restore(null);
      return { channelId, message: null };
    }
    return whole(channelId, pdu.kind === 'dataCompressed' ? part.next(data) : part.first(pdu.length, data));
  }

  /** null from the first data on that can't be decompressed: what follows builds on it. */
  #undo(sender: Sender, channelId: number, data: Uint8Array): Uint8Array | null {
    try {
      return this.#history(sender, channelId)?.decompress(data) ?? null;
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#histories[sender].set(channelId, null);
      return null;
    }
  }

  #history(sender: Sender, channelId: number): ZgfxDecompressor | null {
    const histories = this.#histories[sender];
    let history = histories.get(channelId);
    if (history === undefined) {
      history = new ZgfxDecompressor(dynamicChannelHistoryBytes);
      histories.set(channelId, history);
    }
    return history;
  }

  #part(sender: Sender, channelId: number): DynamicReassembler {
    const parts = this.#parts[sender];
    let part = parts.get(channelId);
    if (!part) {
      if (parts.size >= DYNAMIC_CHANNELS_MAX)
        throw new DecodeError('limit', `more than ${DYNAMIC_CHANNELS_MAX} dynamic channels`);
      part = new DynamicReassembler();
      parts.set(channelId, part);
    }
    return part;
  }
}

type CompressedPdu = Extract<DynamicChannelPdu, { kind: 'dataFirstCompressed' | 'dataCompressed' }>;

function whole(channelId: number, message: Uint8Array | null): { channelId: number; message: Uint8Array } | null {
  return message && { channelId, message };
}

interface StaticChannel {
  name: string;
  parts: Record<Sender, ChannelReassembler>;
  /** Set while a message has a chunk that could not be decompressed. */
  lost: Record<Sender, boolean>;
}

export interface ChannelTrackerSnapshot {
  readonly channels: readonly {
    readonly id: number;
    readonly name: string;
    readonly parts: Readonly<Record<Sender, Uint8Array | null>>;
    readonly lost: Readonly<Record<Sender, boolean>>;
  }[];
  readonly dynamic: DynamicTrackerSnapshot;
}

/** Static channels by MCS id, and what runs inside drdynvc. */
export class ChannelTracker {
  readonly #channels = new Map<number, StaticChannel>();
  readonly #dynamic = new DynamicTracker();

  /** Called once the server has given ids to the channels the client named. */
  name(channelId: number, name: string): void {
    this.#channels.set(channelId, {
      name,
      parts: { client: new ChannelReassembler(), server: new ChannelReassembler() },
      lost: { client: false, server: false },
    });
  }

  /** The channel's name, or undefined when no such channel was announced. */
  nameOf(channelId: number): string | undefined {
    return this.#channels.get(channelId)?.name;
  }

  snapshot(): ChannelTrackerSnapshot {
    const channels = [...this.#channels].map(([id, { name, parts, lost }]) => {
      return {
        id,
        name,
        parts: { client: parts.client.snapshot(), server: parts.server.snapshot() },
        lost: { ...lost },
      };
    });
    return { channels, dynamic: this.#dynamic.snapshot() };
  }

  restore(snapshot: ChannelTrackerSnapshot): void {
    this.#channels.clear();
    for (const { id, name, parts, lost } of snapshot.channels) {
      this.name(id, name);
      const channel = this.#channels.get(id)!;
      channel.parts.client.restore(parts.client);
      channel.parts.server.restore(parts.server);
      channel.lost = { ...lost };
    }
    this.#dynamic.restore(snapshot.dynamic);
  }

  push(sender: Sender, channelId: number, chunk: ChannelChunk, hook: BulkHook | undefined): Inspected[] {
    const channel = this.#channels.get(channelId);
    if (!channel) throw new DecodeError('invalid', `data on channel ${channelId}, which was not announced`);
    const place = { channelId, channelName: channel.name };
    const events: Inspected[] = [{ kind: 'channelChunk', ...place, chunk }];
    if (chunk.flags & ChannelFlag.first) channel.lost[sender] = false;
    const data = decompressed(chunk, hook);
    if (data === null) channel.lost[sender] = true;
    const message = channel.parts[sender].push(chunk.flags, data ?? chunk.data);
    if (message === null) return events;
    const usable = channel.lost[sender] ? null : message;
    events.push({ kind: 'channelMessage', ...place, message: usable });
    if (usable !== null && usable.length > 0 && channel.name === DYNAMIC_CHANNEL_NAME)
      events.push(...this.#dynamic.push(sender, usable));
    return events;
  }
}

function decompressed(chunk: ChannelChunk, hook: BulkHook | undefined): Uint8Array | null {
  const isCompressed = (chunk.flags & ChannelFlag.packetCompressed) !== 0;
  if (!isCompressed && (chunk.flags & (ChannelFlag.packetAtFront | ChannelFlag.packetFlushed)) === 0) return chunk.data;
  return undoBulk(chunk.data, channelCompression(chunk.flags), isCompressed, hook);
}

/** Runs the hook; null when there is none or it does not know the compression type. */
export function undoBulk(
  data: Uint8Array,
  flags: number,
  isCompressed: boolean,
  hook: BulkHook | undefined,
): Uint8Array | null {
  if (!hook) return isCompressed ? null : data;
  try {
    return hook(data, flags);
  } catch (error) {
    if (error instanceof DecodeError && error.code === 'unsupported') return isCompressed ? null : data;
    throw error;
  }
}
