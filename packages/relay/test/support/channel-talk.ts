/** Peers that talk on static channels of a relay with a policy, in whatever chunks, and what of it the other one hears. */
import { ChannelFlag, mcsPdu } from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { decode, joinBytes, Writer } from '@lucid-sessions/wire';
import type { RelaySide } from '../../src/events.ts';
import { type ChannelPolicy, openPolicy } from '../../src/policy/channel-policy.ts';
import { mcsBytesOf } from '../../src/rewrite.ts';
import { dataOf, pdusOf, RunningRelay } from './running-relay.ts';

export const policyOf = (changes: Partial<ChannelPolicy>): ChannelPolicy => ({ ...openPolicy, ...changes });

export const underPolicy = (changes: Partial<ChannelPolicy>): RunningRelay => {
  const running = new RunningRelay({ channels: policyOf(changes) }).activated();
  running.frames();
  return running;
};

/** A message as PDUs of that side, in chunks of so many bytes. */
export function said(from: RelaySide, channelId: number, message: Uint8Array, chunkBytes = 1600): Uint8Array[] {
  const pdus: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < message.length; at += chunkBytes) {
    const flags =
      (at === 0 ? ChannelFlag.first : 0) | (at + chunkBytes >= message.length ? ChannelFlag.last : 0) | 0x10;
    const part = message.subarray(at, at + chunkBytes);
    pdus.push(dataOf(from, channelId, new Writer().u32le(message.length).u32le(flags).slice(part).bytes()));
  }
  return pdus;
}

/** Whole messages in a stream of PDUs, by the channel they came on. */
export function heard(stream: Uint8Array): { channelId: number; message: Buffer }[] {
  const messages: { channelId: number; message: Buffer }[] = [];
  const parts = new Map<number, Uint8Array[]>();
  for (const pdu of pdusOf(stream)) {
    const { channelId, data } = decode(mcsPdu, mcsBytesOf(pdu)) as { channelId: number; data: Uint8Array };
    const flags = new Writer().slice(data).bytes()[4]!;
    const list = (flags & ChannelFlag.first) !== 0 ? [] : (parts.get(channelId) ?? []);
    list.push(data.subarray(8));
    parts.set(channelId, list);
    if ((flags & ChannelFlag.last) !== 0) messages.push({ channelId, message: Buffer.from(joinBytes(list)) });
  }
  return messages;
}

/** Says a message and tells, in hex, what the other side hears of it and what the gateway says itself. */
export function exchange(
  running: RunningRelay,
  from: RelaySide,
  channelId: number,
  message: Uint8Array,
  chunkBytes?: number,
) {
  const [toServer, toClient] = [running.toServer.length, running.toClient.length];
  const passed = Buffer.concat(said(from, channelId, message, chunkBytes).map((pdu) => running.send(from, pdu)));
  const hex = (stream: Uint8Array) => heard(stream).map((each) => each.message.toString('hex'));
  return {
    passed: hex(passed),
    toServer: hex(Buffer.concat(running.toServer.slice(toServer))),
    toClient: hex(Buffer.concat(running.toClient.slice(toClient))),
  };
}

/** Of the frames since the last look, what that side sent and what the other got. */
export function streamsOf(frames: ReturnType<RunningRelay['frames']>, side: 0 | 1) {
  const without = (flag: number) =>
    Buffer.concat(frames.filter(({ flags }) => (flags & 1) === side && (flags & flag) === 0).map(({ bytes }) => bytes));
  return { sent: without(frameFlags.deliveredOnly), got: without(frameFlags.receivedOnly) };
}

export const refusalsOf = (running: RunningRelay): string[] =>
  running.events.flatMap((event) => (event.kind === 'policy' && event.count > 0 ? [event.what] : []));
