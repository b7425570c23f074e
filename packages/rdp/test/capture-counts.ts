import { Reader } from '@lucid-sessions/wire';
import { ZgfxDecompressor } from '../src/bulk/index.ts';
import {
  BitmapCodecGuid,
  type CapabilitySet,
  ClipboardType,
  FASTPATH_OUTPUT_COMPRESSION_USED,
  type InspectedEvent,
  PduType2,
} from '../src/index.ts';

/** Counts what `index.json` of the captures counts, under the same names, from an inspector's events. */
export class CaptureCounts {
  readonly counts: Record<string, number> = {};
  readonly #zgfx = new ZgfxDecompressor();
  #codecs: Record<number, string> = {};

  hit(key: string, by = 1): void {
    this.counts[key] = (this.counts[key] ?? 0) + by;
  }

  add(event: InspectedEvent): void {
    switch (event.kind) {
      case 'fastPathInput':
        for (const input of event.input.events) this.hit(`c2s.fp.${INPUT_NAMES[input.kind] ?? input.kind}`);
        return;
      case 'fastPathOutput':
        for (const update of event.output.updates) {
          if ((update.compression & FASTPATH_OUTPUT_COMPRESSION_USED) === 0) continue;
          const flags = update.compressionFlags ?? 0;
          this.hit(`s2c.fp.bulk type=${flags & 15} flags=0x${(flags & 0xf0).toString(16)}`);
          if ((flags & 15) >= 2 && flags & 0x20)
            this.hit(`s2c.fp.${UPDATE_NAMES[update.updateCode]}.(bulk RDP6, not decoded)`);
        }
        return;
      case 'fastPathUpdate':
        if (event.data) this.#update(event.updateCode, event.data, 's2c.fp.');
        return;
      case 'slowPathUpdate':
        if (event.updateType === 1) this.#update(1, event.data, 's2c.slow.');
        else this.hit(`s2c.slow.update ${event.updateType}`);
        return;
      case 'shareData':
        this.#shareData(event);
        return;
      case 'confirmActive':
        this.#noteCodecs(event.confirm.capabilitySets);
        return;
      case 'dynamicMessage':
        if (event.sender === 'server' && event.message && event.channelName?.endsWith('RDS::Graphics'))
          this.#graphics(this.#zgfx.decompress(event.message));
        return;
      case 'channelMessage':
        if (event.message && event.message.length > 0)
          this.#channel(event.sender === 'client' ? 'c2s' : 's2c', event.channelName, event.message);
    }
  }

  #shareData(event: Extract<InspectedEvent, { kind: 'shareData' }>): void {
    const side = event.sender === 'client' ? 'c2s' : 's2c';
    const { pduType2, compressedType } = event.pdu;
    if (compressedType)
      this.hit(`${side}.data.bulk type=${compressedType & 15} flags=0x${(compressedType & 0xf0).toString(16)}`);
    if (pduType2 === PduType2.input) this.hit(`${side}.data.Input`);
  }

  #noteCodecs(sets: CapabilitySet[]): void {
    const names: Record<string, string> = {
      [BitmapCodecGuid.nsCodec]: 'NSCodec',
      [BitmapCodecGuid.remoteFx]: 'RemoteFX',
      [BitmapCodecGuid.imageRemoteFx]: 'ImageRemoteFX',
    };
    for (const set of sets)
      if (set.kind === 'bitmapCodecs')
        for (const codec of set.bitmapCodecs) {
          const guid = Buffer.from(codec.codecGuid).toString('hex');
          this.#codecs[codec.codecId] = names[guid] ?? guid;
        }
  }

  #update(code: number, data: Uint8Array, prefix: string): void {
    this.hit(prefix + (UPDATE_NAMES[code] ?? code));
    const reader = new Reader(data);
    if (code === 1) this.#bitmap(reader, prefix, prefix.includes('slow') ? 0 : 2);
    if (code === 4) this.#surface(reader, prefix);
    if (code === 0) this.#orders(reader, prefix);
  }

  #bitmap(reader: Reader, prefix: string, skip: number): void {
    reader.skip(skip);
    const rectangles = reader.u16le();
    for (let i = 0; i < rectangles; i += 1) {
      reader.skip(12);
      const depth = reader.u16le();
      const flags = reader.u16le();
      reader.skip(reader.u16le());
      const packing = depth === 32 ? 'planar(RDP6)' : 'interleavedRLE';
      const name = flags & 1 ? packing + (flags & 0x400 ? '' : '+hdr') : 'raw';
      this.hit(`${prefix}bitmap.rect bpp=${depth} ${name}`);
    }
  }

  #surface(reader: Reader, prefix: string): void {
    while (reader.remaining > 0) {
      const type = reader.u16le();
      if (type === 4) {
        this.hit(`${prefix}surf.frameMarker ${reader.u16le() ? 'end' : 'begin'}`);
        reader.skip(4);
        continue;
      }
      reader.skip(8);
      const depth = reader.u8();
      const flags = reader.u8();
      reader.skip(1);
      const codec = reader.u8();
      reader.skip(4);
      const length = reader.u32le();
      reader.skip((flags & 1 ? 24 : 0) + length);
      const name = codec === 0 ? 'raw' : (this.#codecs[codec] ?? '?');
      this.hit(
        `${prefix}surf.${type === 1 ? 'SetSurfaceBits' : 'StreamSurfaceBits'} codecId=${codec} bpp=${depth} (${name})`,
      );
    }
  }

  #orders(reader: Reader, prefix: string): void {
    let orders = reader.u16le();
    this.hit(`${prefix}orders.count`, orders);
    while (orders > 0 && reader.remaining > 0 && (reader.peekU8() & 3) === 3) {
      reader.skip(1);
      const length = reader.u16le();
      reader.skip(2);
      const type = reader.u8();
      reader.skip(length + 7);
      this.hit(`${prefix}orders.secondary ${type === 5 ? 'CacheBmpV2Comp' : type}`);
      orders -= 1;
    }
  }

  #graphics(message: Uint8Array): void {
    const reader = new Reader(message);
    while (reader.remaining > 0) {
      const command = reader.u16le();
      reader.skip(2);
      const body = reader.sub(reader.u32le() - 8);
      if (command === 1) this.hit('s2c.gfx.WireToSurface1');
      if (command === 2) this.hit('s2c.gfx.WireToSurface2');
      if (command > 2) continue;
      body.skip(2);
      const codec = body.u16le();
      this.hit(`s2c.gfx.codec ${GRAPHICS_CODECS[codec] ?? codec}`);
    }
  }

  #channel(side: string, name: string, message: Uint8Array): void {
    const reader = new Reader(message);
    if (name === 'cliprdr') this.hit(`${side}.cliprdr.${CLIPBOARD_NAMES[reader.u16le()]}`);
    if (name === 'rdpdr' && message.length >= 4) {
      const component = reader.u16le() === 0x4472 ? 'Dr' : 'RP';
      this.hit(`${side}.rdpdr.${component}:0x${reader.u16le().toString(16)}`);
    }
  }
}

const GRAPHICS_CODECS: Record<number, string> = { 9: 'CaProgressive', 11: 'AVC420', 15: 'AVC444v2' };
const INPUT_NAMES: Record<string, string> = { scancode: 'key', qoeTimestamp: 'qoe' };
const UPDATE_NAMES: Record<number, string> = {
  0: 'orders',
  1: 'bitmap',
  2: 'palette',
  3: 'synchronize',
  4: 'surfcmds',
  5: 'ptr_null',
  6: 'ptr_default',
  8: 'ptr_position',
  9: 'ptr_color',
  10: 'ptr_cached',
  11: 'ptr_new',
  12: 'ptr_large',
};
const CLIPBOARD_NAMES: Record<number, string> = {
  [ClipboardType.monitorReady]: 'MonitorReady',
  [ClipboardType.formatList]: 'FormatList',
  [ClipboardType.formatListResponse]: 'FormatListResp',
  [ClipboardType.formatDataRequest]: 'FormatDataReq',
  [ClipboardType.formatDataResponse]: 'FormatDataResp',
  [ClipboardType.tempDirectory]: 'TempDir',
  [ClipboardType.clipCaps]: 'ClipCaps',
};
