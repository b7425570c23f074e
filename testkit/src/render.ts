import { writeFileSync } from 'node:fs';
import { SessionDecoder } from '@lucid-sessions/rdp/graphics';
import { PNG } from 'pngjs';
import { type Capture, readCapture } from './capture.ts';

export interface Rendering {
  decoder: SessionDecoder;
  /** Time spent decoding. */
  ms: number;
}

/** Replays a capture from its first byte to its last. */
export function renderCapture(capture: Capture): Rendering {
  const decoder = new SessionDecoder();
  const startedMs = performance.now();
  for (const { fromServer, bytes } of capture.records) decoder.push({ fromServer, bytes });
  return { decoder, ms: performance.now() - startedMs };
}

/** `render <capture.rdpcap[.gz]> <out.png>`: the final picture, without the pointer, and one JSON line about it. */
function main(args: readonly string[]): number {
  const [capturePath, pngPath] = args;
  if (capturePath === undefined || pngPath === undefined) {
    process.stderr.write('usage: render <capture.rdpcap[.gz]> <out.png>\n');
    return 2;
  }
  const { decoder, ms } = renderCapture(readCapture(capturePath));
  const { screen } = decoder;
  const png = new PNG({ width: screen.width, height: screen.height });
  png.data.set(screen.pixels.data);
  writeFileSync(pngPath, PNG.sync.write(png));
  const { width, height, framesCount: frames } = screen;
  const unsupported = Object.fromEntries(screen.unsupported);
  process.stdout.write(`${JSON.stringify({ width, height, frames, unsupported, ms: Math.round(ms) })}\n`);
  return 0;
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2));
