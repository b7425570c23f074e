/** The index thread on Node. */
import type { IndexerPlatform } from '@lucid-sessions/indexer';
import { createH264Decoder, h264Missing, ownH264Decoder } from './h264-node.ts';
import { nodeCrypto } from './node-crypto.ts';
import { nodeDecompressor } from './node-decompressor.ts';
import { encodePng } from './png-file.ts';

export const platform: IndexerPlatform = {
  crypto: nodeCrypto,
  decompressor: nodeDecompressor,
  createH264Decoder: () => createH264Decoder(),
  h264Name: async () => (await ownH264Decoder())?.name ?? null,
  h264Missing,
  encodePng,
};
