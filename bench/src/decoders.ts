/**
 * `node bench/src/main.ts decoders [--seconds 2] [--only NAME]`
 *
 * How fast one core (per second of processor time) decodes what sessions are recorded as. One desktop of 1920 × 1080 in each codec, beside FreeRDP's
 * client on the same bytes in the same run; the bulk decompressors on what real servers sent, and on what FreeRDP's compressors make of
 * the same updates; whole recorded sessions from first PDU to last.
 * FreeRDP's time is its process': TLS and drawing into X count, which the rows "solid fill" (drawing alone) and "raw" (both) show.
 */
import { readdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { SessionDecoder } from '@lucid-sessions/graphics';
import { peersMissing } from '@lucid-sessions/testkit';
import { bulkStreams } from './bulk-streams.ts';
import { type MarkResult, measureFreeRdp } from './decoder-mark.ts';
import { captures, records } from './decoder-pictures.ts';
import { decoderStreams } from './decoder-streams.ts';

const megabyte = 1_000_000;
const pictureBytes = 1920 * 1080 * 4;

function print(row: Record<string, string | number>): void {
  process.stdout.write(`${JSON.stringify(row)}\n`);
}

/** Processor time of this process, all threads: a shared machine's other work doesn't count. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Calls `work` for about `seconds`, after a warm-up, and returns its calls per second of processor time. */
function rate(seconds: number, work: () => void): number {
  const warmUntil = cpuSeconds() + seconds * 0.3;
  while (cpuSeconds() < warmUntil) work();
  const started = cpuSeconds();
  let calls = 0;
  let elapsed = 0;
  do {
    work();
    calls += 1;
    elapsed = cpuSeconds() - started;
  } while (elapsed < seconds);
  return calls / elapsed;
}

/** The same bytes through our decoder: connection first, then the frame again and again. */
function ourFramesPerSecond({ connection, frame }: MarkResult, seconds: number): number {
  const decoder = new SessionDecoder();
  for (const piece of connection) decoder.push(piece);
  const perSecond = rate(seconds, () => decoder.push({ fromServer: true, bytes: frame }));
  const unsupported = [...decoder.screen.unsupported];
  if (unsupported.length > 0) throw new Error(`our decoder refused ${JSON.stringify(unsupported)}`);
  decoder.close();
  return perSecond;
}

async function besideFreeRdp(seconds: number, only: string): Promise<void> {
  const missing = peersMissing('xfreerdp');
  if (missing.length > 0) return print({ skipped: `decoders beside FreeRDP need ${missing.join(', ')}` });
  for (const stream of decoderStreams()) {
    if (!stream.name.includes(only)) continue;
    const mark = await measureFreeRdp(stream, seconds);
    const ours = ourFramesPerSecond(mark, seconds);
    print({
      decoder: stream.name,
      framesPerSecond: Math.round(ours),
      freeRdp: Math.round(mark.framesPerCpuSecond),
      ratio: Number((ours / mark.framesPerCpuSecond).toFixed(2)),
      pixelsMBPerSecond: Math.round((ours * pictureBytes) / megabyte),
      streamMBPerSecond: Math.round((ours * mark.frame.length) / megabyte),
      streamBytes: mark.frame.length,
    });
  }
}

/** H.264 is an outside decoder's work: sessions with it are replayed without their pictures. */
function sessions(seconds: number): void {
  const names = readdirSync(captures)
    .filter((file) => file.endsWith('.rdpcap.gz'))
    .map((file) => file.slice(0, -'.rdpcap.gz'.length));
  for (const session of names) {
    const all = records(session);
    const bytes = all.reduce((sum, record) => sum + record.bytes.length, 0);
    const seenMs = all.at(-1)?.timeMs ?? 0;
    const perSecond = rate(seconds / 2, () => {
      const decoder = new SessionDecoder();
      for (const record of all) decoder.push(record);
      decoder.close();
    });
    const replayMs = Number((1000 / perSecond).toFixed(1));
    print({
      session,
      replayMs,
      timesRealTime: Math.round(seenMs / replayMs),
      MBPerSecond: Math.round((perSecond * bytes) / megabyte),
    });
  }
}

function bulk(seconds: number, only: string): void {
  for (const { decoder, session, payloads, begin } of bulkStreams()) {
    if (!decoder.includes(only)) continue;
    let outputBytes = 0;
    const perSecond = rate(seconds, () => {
      const decompressor = begin();
      outputBytes = 0;
      for (const { data, flags } of payloads) outputBytes += decompressor.decompress(data, flags).length;
    });
    const outputMBPerSecond = Math.round((perSecond * outputBytes) / megabyte);
    print({ decoder, session, outputMBPerSecond, outputBytes, payloads: payloads.length });
  }
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: { seconds: { type: 'string', default: '2' }, only: { type: 'string' } },
  });
  const seconds = Number(values.seconds);
  await besideFreeRdp(seconds, values.only ?? '');
  bulk(seconds, values.only ?? '');
  if (values.only === undefined) sessions(seconds);
}
