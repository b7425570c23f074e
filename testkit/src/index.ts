/** All that tests ask for, the desktop and client of our own among it. */

export * from '@lucid-sessions/desktop';
export * from './blockchain-core.ts';
export * from './capture.ts';
export * from './channel-pdus.ts';
export * from './crash/index.ts';
export * from './encode-bitmaps.ts';
export * from './evm-node.ts';
export * from './freerdp-codecs.ts';
export * from './inspect.ts';
export * from './kdc.ts';
export * from './long-recording.ts';
export * from './looped.ts';
export * from './mongo-stand-in.ts';
export * from './openbao.ts';
export * from './peers.ts';
export * from './ports.ts';
export * from './postgres.ts';
export * from './rd-gateway.ts';
export * from './rdstls-host.ts';
export * from './redis.ts';
export * from './s3-faults.ts';
export * from './seaweedfs.ts';
export * from './tap.ts';
export * from './timestamp-authority.ts';
export * from './vault.ts';
export * from './witness.ts';
