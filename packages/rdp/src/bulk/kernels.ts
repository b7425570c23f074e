/**
 * The inner loops of RDP 4.0, 5.0, 6.0 and 6.1 bulk decompression in WebAssembly. They do what `mppc.ts`, `ncrush.ts` and `xcrush.ts` do
 * in JavaScript; a test holds them to that, errors included.
 */
import { wasmModule } from '@lucid-sessions/wire/wasm';
import { fillTables, pagesCount } from './kernel-memory.ts';
import { mppc } from './mppc-kernel.ts';
import { ncrush } from './ncrush-kernel.ts';
import { xcrush } from './xcrush-kernel.ts';

export interface BulkKernels {
  readonly memory: WebAssembly.Memory;
  mppc8K(history: number, offset: number, inputBytes: number): number;
  mppc64K(history: number, offset: number, inputBytes: number): number;
  ncrush(history: number, offset: number, inputBytes: number): number;
  xcrush(history: number, offset: number, input: number, inputBytes: number): number;
}

/** The compiled kernels with their tables, or null where WebAssembly or its SIMD is missing or not allowed. */
export function loadBulkKernels(): BulkKernels | null {
  try {
    const module = new WebAssembly.Module(wasmModule([mppc(false), mppc(true), ncrush(), xcrush()], pagesCount));
    const kernels = new WebAssembly.Instance(module).exports as unknown as BulkKernels;
    fillTables(kernels.memory.buffer);
    return kernels;
  } catch {
    return null;
  }
}
