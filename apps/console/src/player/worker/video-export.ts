import { noVideoText } from '../no-h264.ts';
import type { Engine } from './engine.ts';
import { markImported } from './imported-mark.ts';
import { Painter } from './painter.ts';
import type { Picture, PictureState } from './picture.ts';
import { WebmClusters, type WebmTrack, webmHeader } from './webm.ts';

export interface ExportRequest {
  fromUs: number;
  toUs: number;
  framesPerSecond: number;
  pointer: boolean;
  /** Every picture says so. */
  imported: boolean;
}

/** A picture that stays is written again after so long, so that players show the right length. */
const repeatUs = 1_000_000;
const keyFrameUs = 5_000_000;
const encodeQueueMax = 6;
const bitsPerPixel = 0.12;

const codecs: readonly { name: string; webm: WebmTrack['codec'] }[] = [
  { name: 'vp09.00.41.08', webm: 'V_VP9' },
  { name: 'vp8', webm: 'V_VP8' },
];

async function chooseCodec(
  width: number,
  height: number,
  framesPerSecond: number,
): Promise<{ config: VideoEncoderConfig; webm: WebmTrack['codec'] }> {
  for (const { name, webm } of codecs) {
    const config: VideoEncoderConfig = {
      codec: name,
      width,
      height,
      framerate: framesPerSecond,
      bitrate: Math.round(width * height * framesPerSecond * bitsPerPixel),
      latencyMode: 'realtime',
    };
    if ((await VideoEncoder.isConfigSupported(config).catch(() => null))?.supported) return { config, webm };
  }
  throw new Error('this browser encodes neither VP9 nor VP8');
}

/**
 * Writes a part of the recording as WebM, piece by piece: at no time more than a cluster is held. Stops at `signal`. The engine and
 * picture are this export's own.
 */
export async function exportVideo(
  engine: Engine<PictureState>,
  picture: Picture,
  request: ExportRequest,
  write: (bytes: Uint8Array<ArrayBuffer>, progress: number) => void,
  signal: AbortSignal,
): Promise<void> {
  if (typeof VideoEncoder === 'undefined') throw new Error('this browser has no video encoder (WebCodecs)');
  const painter = new Painter(new OffscreenCanvas(16, 16));
  await engine.seek(request.fromUs);
  while (picture.screen.width === 0 && (await engine.stepForward()) !== null);
  painter.paint(picture, request.pointer);
  // Encoders want even sides; a desktop that changes its size is fitted into the first one.
  const stage = new OffscreenCanvas((painter.canvas.width + 1) & ~1, (painter.canvas.height + 1) & ~1);
  const context = stage.getContext('2d', { alpha: false });
  if (!context) throw new Error('this browser gives no canvas to draw on');
  const { config, webm } = await chooseCodec(stage.width, stage.height, request.framesPerSecond);

  const clusters = new WebmClusters();
  const durationUs = Math.max(1, request.toUs - request.fromUs);
  let progress = 0;
  let failed: Error | null = null;
  const encoder = new VideoEncoder({
    output: (chunk) => {
      const data = new Uint8Array(chunk.byteLength);
      chunk.copyTo(data);
      const cluster = clusters.add({
        timeMs: Math.round(chunk.timestamp / 1000),
        keyFrame: chunk.type === 'key',
        data,
      });
      if (cluster) write(cluster, progress);
    },
    error: (error) => {
      failed = error;
    },
  });
  encoder.configure(config);
  write(webmHeader({ codec: webm, width: stage.width, height: stage.height, durationMs: durationUs / 1000 }), 0);

  const stepUs = 1e6 / request.framesPerSecond;
  let writtenUs = Number.NEGATIVE_INFINITY;
  let keyUs = Number.NEGATIVE_INFINITY;
  let drawn = -1;
  for (let timeUs = 0; timeUs <= durationUs; timeUs += stepUs) {
    if (signal.aborted) break;
    await engine.forward(request.fromUs + timeUs);
    if (picture.lacksH264) failed = new Error(noVideoText);
    if (failed) break;
    const last = timeUs + stepUs > durationUs;
    if (picture.framesCount === drawn && timeUs - writtenUs < repeatUs && !last) continue;
    drawn = picture.framesCount;
    painter.paint(picture, request.pointer);
    drawFitted(context, painter.canvas);
    if (request.imported) markImported(context);
    const keyFrame = timeUs - keyUs >= keyFrameUs;
    if (keyFrame) keyUs = timeUs;
    const frame = new VideoFrame(stage, { timestamp: Math.round(timeUs), duration: Math.round(stepUs) });
    encoder.encode(frame, { keyFrame });
    frame.close();
    writtenUs = timeUs;
    progress = timeUs / durationUs;
    while (encoder.encodeQueueSize > encodeQueueMax && !failed) await nextDequeue(encoder);
  }
  if (failed) {
    if (encoder.state !== 'closed') encoder.close();
    throw failed;
  }
  if (!signal.aborted) await encoder.flush();
  encoder.close();
  const rest = clusters.finish();
  if (rest) write(rest, 1);
}

function nextDequeue(encoder: VideoEncoder): Promise<void> {
  return new Promise((resolve) => encoder.addEventListener('dequeue', () => resolve(), { once: true }));
}

function drawFitted(context: OffscreenCanvasRenderingContext2D, source: OffscreenCanvas): void {
  const { width, height } = context.canvas;
  const scale = Math.min(1, width / source.width, height / source.height);
  const shownWidth = source.width * scale;
  const shownHeight = source.height * scale;
  if (shownWidth < width || shownHeight < height) {
    context.fillStyle = '#000';
    context.fillRect(0, 0, width, height);
  }
  context.drawImage(source, (width - shownWidth) / 2, (height - shownHeight) / 2, shownWidth, shownHeight);
}
