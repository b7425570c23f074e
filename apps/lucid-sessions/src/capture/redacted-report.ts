/**
 * What a captured connection is made of, safe to send to a stranger: kinds and counts, numbers that were negotiated, names of
 * channels and codecs. No bytes, no text, no address, no time of day comes out; only what is listed here does.
 */
import { gfxCodecId, gfxPdu, SessionDecoder } from '@lucid-sessions/graphics';
import { type InspectedEvent, StreamInspector } from '@lucid-sessions/rdp';
import { BulkDecompressor, ZgfxDecompressor } from '@lucid-sessions/rdp/bulk';
import { DecodeError, Reader } from '@lucid-sessions/wire';
import type { RdpConnection } from './rdp-connections.ts';

const graphicsChannel = 'Microsoft::Windows::RDS::Graphics';
const kindsMax = 500;
/** Channel names are the protocol's own words; what does not look like one is not passed on. */
const channelNamePattern = /^[A-Za-z0-9_:.#-]{1,64}$/;

export interface RedactedReport {
  v: 1;
  /** Of the registry, 0 where there was no TLS. */
  tls: { version: number; cipher_suite: number };
  problem: string | null;
  seconds: number;
  /** PDUs by sender and kind. */
  pdus: Record<string, number>;
  /** PDUs that are not what their place in the stream says, by what was wrong. */
  malformed: Record<string, number>;
  /** Negotiated numbers of the client's core data and of both sides' capability sets. */
  client: Record<string, number>;
  capabilities: { client: Record<string, unknown>; server: Record<string, unknown> };
  channels: string[];
  graphics: { commands: Record<string, number>; codecs: Record<string, number> };
  /** What replay could not draw, by what it is. */
  not_drawn: Record<string, number>;
}

export function redactedReport({ pieces, problem, tlsVersion, cipherSuite }: RdpConnection): RedactedReport {
  const collector = new Collector();
  for (const { fromServer, bytes } of pieces) collector.push(fromServer, bytes);
  const spanUs = (pieces.at(-1)?.timeUs ?? 0) - (pieces[0]?.timeUs ?? 0);
  return {
    v: 1,
    tls: { version: tlsVersion, cipher_suite: cipherSuite },
    // Client randoms and counts may stand in it, never content.
    problem,
    seconds: Math.round(spanUs / 1e6),
    ...collector.result(),
  };
}

type Counts = Map<string, number>;
const record = (counts: Counts): Record<string, number> => Object.fromEntries([...counts].sort());

class Collector {
  readonly #bulk = { client: new BulkDecompressor(), server: new BulkDecompressor() };
  readonly #inspector = new StreamInspector({
    client: (data, flags) => this.#bulk.client.decompress(data, flags),
    server: (data, flags) => this.#bulk.server.decompress(data, flags),
  });
  readonly #decoder = new SessionDecoder();
  #zgfx = new ZgfxDecompressor();
  readonly #pdus: Counts = new Map();
  readonly #malformed: Counts = new Map();
  readonly #commands: Counts = new Map();
  readonly #codecs: Counts = new Map();
  readonly #channels = new Set<string>();
  #client: Record<string, number> = {};
  readonly #capabilities: RedactedReport['capabilities'] = { client: {}, server: {} };

  result(): Omit<RedactedReport, 'v' | 'tls' | 'problem' | 'seconds'> {
    this.#decoder.close();
    return {
      pdus: record(this.#pdus),
      malformed: record(this.#malformed),
      client: this.#client,
      capabilities: this.#capabilities,
      channels: [...this.#channels].sort(),
      graphics: { commands: record(this.#commands), codecs: record(this.#codecs) },
      not_drawn: record(this.#decoder.screen.unsupported as Counts),
    };
  }

  push(fromServer: boolean, bytes: Uint8Array): void {
    void this.#decoder.push({ fromServer, bytes });
    this.#decoder.screen.takeDirty();
    try {
      for (const event of this.#inspector.push(fromServer ? 'server' : 'client', bytes)) this.#take(event);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      count(this.#malformed, `${fromServer ? 'server' : 'client'} stream: ${error.code}`);
    }
  }

  #take(event: InspectedEvent): void {
    count(this.#pdus, `${event.sender} ${event.kind}${detailOf(event)}`);
    switch (event.kind) {
      case 'malformed':
        count(this.#malformed, `${event.sender}: ${event.error.code}`);
        return;
      case 'connectInitial':
        for (const block of event.conference.blocks) {
          if (block.kind === 'core') this.#client = numbersOf(block, ['clientProductId', 'serialNumber']);
          if (block.kind === 'network') for (const { name } of block.channels) this.#channel(name.text);
        }
        return;
      case 'demandActive':
        this.#capabilities.server = capabilitiesOf(event.demand.capabilitySets);
        return;
      case 'confirmActive':
        this.#capabilities.client = capabilitiesOf(event.confirm.capabilitySets);
        return;
      case 'dynamicChannel':
        if (event.pdu.kind === 'createRequest') this.#channel(event.pdu.channelName);
        if (event.pdu.kind === 'createRequest' && event.pdu.channelName === graphicsChannel)
          this.#zgfx = new ZgfxDecompressor();
        return;
      case 'dynamicMessage':
        if (event.channelName === graphicsChannel && event.message !== null)
          this.#graphics(event.sender, event.message);
    }
  }

  #channel(name: string): void {
    if (this.#channels.size < kindsMax) this.#channels.add(channelNamePattern.test(name) ? name : '(odd name)');
  }

  #graphics(sender: string, message: Uint8Array): void {
    try {
      const reader = new Reader(sender === 'server' ? this.#zgfx.decompress(message) : message);
      while (reader.remaining > 0) {
        const pdu = gfxPdu.decode(reader);
        count(this.#commands, `${sender} ${pdu.kind}${pdu.kind === 'unknown' ? ` ${pdu.cmdId}` : ''}`);
        if (pdu.kind === 'wireToSurface1' || pdu.kind === 'wireToSurface2')
          count(this.#codecs, codecName(pdu.body.codecId));
        if (pdu.kind === 'capsConfirm') count(this.#commands, `confirmed ${JSON.stringify(numbersOf(pdu.body))}`);
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      count(this.#malformed, `${sender} graphics: ${error.code}`);
    }
  }
}

function count(counts: Counts, name: string): void {
  if (counts.has(name) || counts.size < kindsMax) counts.set(name, (counts.get(name) ?? 0) + 1);
}

function detailOf(event: InspectedEvent): string {
  switch (event.kind) {
    case 'shareData':
      return ` ${event.pdu.pduType2}${event.data === null ? ' (not decompressed)' : ''}`;
    case 'fastPathUpdate':
      return ` ${event.updateCode}${event.data === null ? ' (not decompressed)' : ''}`;
    case 'slowPathUpdate':
      return ` ${event.updateType}`;
    case 'mcs':
      return ` ${event.pdu.kind}`;
    case 'channelMessage':
    case 'dynamicMessage':
      return ` ${channelNamePattern.test(event.channelName ?? '') ? event.channelName : '(unnamed)'}`;
    case 'fastPathInput':
      // Kinds of events alone: which keys is nobody's business.
      return ` ${[...new Set(event.input.events.map(({ kind }) => kind))].sort().join('+')}`;
    default:
      return '';
  }
}

const codecName = (id: number): string =>
  Object.entries(gfxCodecId).find(([, value]) => value === id)?.[0] ?? `codec ${id}`;

/** The numbers of a decoded structure, without those named. */
function numbersOf(value: object, without: readonly string[] = []): Record<string, number> {
  return Object.fromEntries(
    Object.entries(value).filter(
      (entry): entry is [string, number] => typeof entry[1] === 'number' && !without.includes(entry[0]),
    ),
  );
}

function capabilitiesOf(sets: readonly { kind: string }[]): Record<string, unknown> {
  const found: [string, unknown][] = [];
  for (const set of sets) {
    const name = set.kind === 'unknown' ? `type ${(set as unknown as { type: number }).type}` : set.kind;
    const numbers = numbersOf(set);
    if ('orderSupport' in set)
      Object.assign(numbers, { ordersCount: [...(set.orderSupport as Uint8Array)].filter(Boolean).length });
    const codecs = 'codecs' in set && Array.isArray(set.codecs) ? { codecsCount: set.codecs.length } : {};
    found.push([name, { ...numbers, ...codecs }]);
  }
  return Object.fromEntries(found);
}
