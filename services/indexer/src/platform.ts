import type { H264Decoder, H264MissingError, PixelBuffer } from '@lucid-sessions/graphics';
import type { Decompressor } from '@lucid-sessions/recording';
import type { SyncCrypto } from '@lucid-sessions/wire';

/** What the index thread asks of the machine it runs on: a module with this as its `platform` is named by its URL. */
export interface IndexerPlatform {
  readonly crypto: SyncCrypto;
  readonly decompressor: Decompressor;
  createH264Decoder(): H264Decoder;
  /** What H.264 is decoded by here; null where nothing is installed that does. */
  h264Name(): Promise<string | null>;
  /** Says what to install. */
  h264Missing(): H264MissingError;
  encodePng(picture: PixelBuffer): Promise<Uint8Array>;
}

export interface IndexThreadData {
  /** URL of that module. */
  platform: string;
}
