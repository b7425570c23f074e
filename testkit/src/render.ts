import { writeFileSync } from 'node:fs';
import { H264MissingError, SessionDecoder } from '@lucid-sessions/graphics';
import { createH264Decoder, ownH264Decoder } from '@lucid-sessions/node';
import { PNG } from 'pngjs';
import { type Capture, overCapture } from './capture.ts';

export interface Rendering {
  decoder: SessionDecoder;
  /** What decoded H.264; null where there was none to decode. */
  h264Decoder: string | null;
  /** Time spent decoding. */
  ms: number;
}

/** Replays a capture from its first byte to its last, H.264 by what this machine has. */
export async function renderCapture(capture: Capture): Promise<Rendering> {
  let usesH264 = false;
  const decoder = new SessionDecoder({
    createH264Decoder: () => {
      usesH264 = true;
      return createH264Decoder();
    },
  });
  const startedMs = performance.now();
  for (const { fromServer, bytes } of capture.records) await decoder.push({ fromServer, bytes });
  const ms = performance.now() - startedMs;
  decoder.close();
  return { decoder, h264Decoder: usesH264 ? ((await ownH264Decoder())?.name ?? null) : null, ms };
}

/**
 * `render <capture.rdpcap[.gz]> <out.png>`: the final picture, without the pointer, and one JSON line about it. Of a capture that ends
 * before there is a desktop, no picture and exit code 1.
 */
async function main(args: readonly string[]): Promise<number> {
  const [capturePath, pngPath] = args;
  if (capturePath === undefined || pngPath === undefined) {
    process.stderr.write('usage: render <capture.rdpcap[.gz]> <out.png>\n');
    return 2;
  }
  return overCapture(capturePath, (capture) => drawTo(pngPath, capturePath, capture));
}

async function drawTo(pngPath: string, capturePath: string, capture: Capture): Promise<number> {
  const { decoder, h264Decoder, ms } = await renderCapture(capture);
  const { screen, h264Failure } = decoder;
  if (h264Failure instanceof H264MissingError) process.stderr.write(`${h264Failure.message}\n`);
  const unsupported = Object.fromEntries(screen.unsupported);
  if (screen.width === 0 || screen.height === 0) {
    process.stderr.write(`${capturePath} ends before the server shows a desktop: ${JSON.stringify({ unsupported })}\n`);
    return 1;
  }
  const png = new PNG({ width: screen.width, height: screen.height });
  png.data.set(screen.pixels.data);
  writeFileSync(pngPath, PNG.sync.write(png));
  const { width, height, framesCount: frames } = screen;
  const { mainChroma } = decoder;
  const facts = {
    width,
    height,
    frames,
    unsupported,
    ...(mainChroma.length > 0 && { mainChroma }),
    ...(h264Decoder && { h264Decoder }),
  };
  process.stdout.write(`${JSON.stringify({ ...facts, ms: Math.round(ms) })}\n`);
  return 0;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
