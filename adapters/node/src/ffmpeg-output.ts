import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Where a program's output comes out. What a pipe of Node's brings is fresh memory for every piece, some megabytes for each picture:
 * to collect it took as much processor time as everything else. A socket that we open ourselves is read into our own memory.
 */
export interface ProgramOutput {
  /** The end the program is given; to be destroyed once it has it. */
  readonly writing: Socket;
  readonly reading: Socket;
}

/**
 * `memory` says where the next bytes go and is never empty; `onRead` is told how many came. Null where programs can't be given sockets
 * (Windows), or no socket can be had.
 */
export async function openProgramOutput(
  memory: () => Uint8Array,
  onRead: (count: number) => void,
): Promise<ProgramOutput | null> {
  if (process.platform === 'win32') return null;
  let directory: string | null = null;
  const server = createServer({ pauseOnConnect: true });
  try {
    // Of mode 0700: nobody else can come first.
    directory = mkdtempSync(join(tmpdir(), 'lucid-ffmpeg-'));
    const path = join(directory, 'output');
    server.listen(path);
    await once(server, 'listening');
    const accepted = once(server, 'connection');
    const callback = (count: number): boolean => {
      onRead(count);
      return true;
    };
    const reading = createConnection({ path, onread: { buffer: memory, callback } });
    await once(reading, 'connect');
    const [writing] = (await accepted) as [Socket];
    return { writing, reading };
  } catch {
    return null;
  } finally {
    server.close();
    if (directory !== null) rmSync(directory, { recursive: true, force: true });
  }
}
