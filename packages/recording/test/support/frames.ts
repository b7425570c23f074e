import { readCapture } from '@lucid-sessions/testkit';
import { type Frame, frameFlags, frameKinds } from '../../src/index.ts';

const captures = new URL('../../../../testkit/captures/', import.meta.url);

/** A capture's bytes as frames: not cut at PDUs, as the indexer does not need it. */
export function captureFrames(name: string): Frame[] {
  return readCapture(new URL(`${name}.rdpcap.gz`, captures).pathname).records.map((record) => ({
    kind: frameKinds.pdu,
    flags: (record.fromServer ? frameFlags.serverToClient : 0) | (record.beforeTls ? frameFlags.beforeTls : 0),
    channelId: 0,
    timeUs: record.timeMs * 1000,
    body: record.bytes,
  }));
}
