/** The chunk line in C, built on the spot where a compiler and the libraries are. */
import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const source = new URL('../c/chunk-line.c', import.meta.url).pathname;

export interface ReferenceRun {
  seconds: number;
  /** Of all threads. */
  cpuSeconds: number;
  storedBytes: number;
}

export interface Reference {
  measure(dataPath: string, chunkBytes: number, chunks: number, threads: number): Promise<ReferenceRun>;
}

/** Null where it can't be built; `reason` says why in one line. */
export async function buildReference(folder: string): Promise<Reference | { reason: string }> {
  const program = join(folder, 'chunk-line');
  // Debian's runtime package has the library without the name the linker looks for.
  for (const zstd of ['-lzstd', '-l:libzstd.so.1']) {
    try {
      await run('gcc', ['-O2', '-o', program, source, zstd, '-lcrypto', '-lpthread']);
      return { measure: (...what) => measure(program, folder, ...what) };
    } catch (thrown) {
      if (zstd === '-l:libzstd.so.1') {
        const { message } = thrown as Error;
        return { reason: `gcc, libzstd and OpenSSL's headers are needed: ${message.split('\n')[0]}` };
      }
    }
  }
  return { reason: 'not tried' };
}

async function measure(
  program: string,
  folder: string,
  dataPath: string,
  chunkBytes: number,
  chunks: number,
  threads: number,
): Promise<ReferenceRun> {
  const files = join(folder, 'c');
  await mkdir(files);
  try {
    const { stdout } = await run(program, [files, dataPath, `${chunkBytes}`, `${chunks}`, `${threads}`, '1']);
    return JSON.parse(stdout) as ReferenceRun;
  } finally {
    await rm(files, { recursive: true });
  }
}

export async function writeData(path: string, chunks: readonly Uint8Array[]): Promise<void> {
  await writeFile(path, chunks);
}
