/** FreeRDP's codecs beside ours: `c/freerdp-codecs.c`, built on the spot where a compiler and the library's headers are. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** As in the C program. */
const operations = [
  'reset',
  'mppcDecode',
  'ncrushDecode',
  'xcrushDecode',
  'zgfxDecode',
  'mppcEncode',
  'ncrushEncode',
  'xcrushEncode',
  'zgfxEncode',
  'planarDecode',
  'planarEncode',
  'interleavedDecode',
  'interleavedEncode',
  'nscDecode',
  'nscEncode',
  'rfxDecode',
  'rfxEncode',
  'progressiveDecode',
  'progressiveEncode',
  'clearDecode',
] as const;

export interface CodecCommand {
  readonly operation: (typeof operations)[number];
  /** Width and height of pictures; the level of MPPC and the flags of bulk data. */
  readonly a?: number;
  readonly b?: number;
  readonly c?: number;
  readonly bytes: Uint8Array;
}

export interface CodecAnswer {
  /** 0 or less where a decoder refused; the flags of a bulk compressor. */
  readonly status: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const headBytes = 17;
const streamsTogether = 100;
const answersBytesMax = 1 << 30;
const timeoutMs = 120_000;

export class FreeRdpCodecs {
  readonly #folder: string;
  readonly #program: string;

  private constructor(folder: string, program: string) {
    this.#folder = folder;
    this.#program = program;
  }

  /** What is missing where it can't be built. */
  static build(): FreeRdpCodecs | { missing: string } {
    const folder = mkdtempSync(join(tmpdir(), 'freerdp-codecs-'));
    const program = join(folder, 'freerdp-codecs');
    const source = fileURLToPath(new URL('../c/freerdp-codecs.c', import.meta.url));
    const includes = ['-I/usr/include/freerdp2', '-I/usr/include/winpr2'];
    const built = spawnSync('gcc', ['-O1', ...includes, '-w', '-o', program, source, '-lfreerdp2', '-lwinpr2']);
    if (built.status === 0) return new FreeRdpCodecs(folder, program);
    rmSync(folder, { recursive: true });
    return { missing: 'gcc and freerdp2-dev' };
  }

  /** Each stream begins with fresh codecs. Of a stream that FreeRDP does not survive there are the answers up to then. */
  run(streams: readonly (readonly CodecCommand[])[]): CodecAnswer[][] {
    const answers: CodecAnswer[][] = [];
    while (answers.length < streams.length) {
      const some = streams.slice(answers.length, answers.length + streamsTogether);
      answers.push(...this.#runSome(some));
    }
    return answers;
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #runSome(streams: readonly (readonly CodecCommand[])[]): CodecAnswer[][] {
    const input = Buffer.concat(
      streams.flatMap((stream) => [{ operation: 'reset', bytes: new Uint8Array(0) } as const, ...stream].map(encoded)),
    );
    const { stdout, error } = spawnSync(this.#program, { input, maxBuffer: answersBytesMax, timeout: timeoutMs });
    if (error && !stdout) throw error;
    const answers: CodecAnswer[][] = [];
    let at = 0;
    for (const stream of streams) {
      const own: CodecAnswer[] = [];
      for (let index = 0; index <= stream.length; index += 1) {
        const answer = answerAt(stdout, at);
        // FreeRDP is gone: the next streams have to be run again.
        if (answer === null) return [...answers, own.slice(1)];
        own.push(answer);
        at += 8 + answer.bytes.length;
      }
      answers.push(own.slice(1));
    }
    return answers;
  }
}

function encoded({ operation, a = 0, b = 0, c = 0, bytes }: CodecCommand): Uint8Array {
  const all = Buffer.alloc(headBytes + bytes.length);
  all.writeUInt8(operations.indexOf(operation), 0);
  for (const [index, value] of [a, b, c, bytes.length].entries()) all.writeUInt32LE(value, 1 + index * 4);
  all.set(bytes, headBytes);
  return all;
}

function answerAt(stdout: Buffer, at: number): CodecAnswer | null {
  if (stdout.length < at + 8) return null;
  const length = stdout.readUInt32LE(at + 4);
  if (stdout.length < at + 8 + length) return null;
  return { status: stdout.readInt32LE(at), bytes: new Uint8Array(stdout.subarray(at + 8, at + 8 + length)) };
}
