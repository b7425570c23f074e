import { type Codec, DecodeError, Writer } from '@lucid-sessions/wire';
import type { Tagged } from '@lucid-sessions/wire/struct';

/**
 * Tables of typed blocks behind a 16-bit type and a 16-bit length that counts its own header: GCC data blocks and
 * capability sets alike.
 */

/** Size of the type and length in front of each block. */
export const BLOCK_HEADER_BYTES = 4;

/** Each kind's type number and layout. */
export type BlockTable = { readonly [kind: string]: { readonly type: number; readonly codec: Codec<unknown> } };

type CodecsOf<T extends BlockTable> = { readonly [K in keyof T]: T[K]['codec'] };
/** One of the table's blocks, or one kept raw because its type or its contents are unknown. */
export type Block<T extends BlockTable> = Tagged<CodecsOf<T>> | { kind: 'unknown'; type: number; data: Uint8Array };

/**
 * A codec for one block of the table. A known block whose contents don't fit its layout is kept raw too: a peer's odd
 * block must pass through unchanged, and what reads it will find it missing.
 */
export function block<T extends BlockTable>(name: string, table: T): Codec<Block<T>> {
  const kinds = new Map(Object.entries(table).map(([kind, entry]) => [entry.type, { kind, codec: entry.codec }]));
  return {
    name,
    decode(reader) {
      const type = reader.u16le();
      const length = reader.u16le();
      if (length < BLOCK_HEADER_BYTES) throw reader.error('invalid', `${name} length ${length} is below its header`);
      const at = reader.offset;
      const content = reader.sub(length - BLOCK_HEADER_BYTES);
      const known = kinds.get(type);
      if (known) {
        try {
          const value = known.codec.decode(content) as object;
          if (content.remaining === 0) return { kind: known.kind, ...value } as Block<T>;
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
        }
      }
      return { kind: 'unknown', type, data: reader.bytes.subarray(at, reader.offset) };
    },
    encode(value, writer) {
      if (value.kind === 'unknown') {
        const raw = value as { type: number; data: Uint8Array };
        writer.u16le(raw.type).u16le(raw.data.length + BLOCK_HEADER_BYTES);
        writer.slice(raw.data);
        return;
      }
      const entry = table[value.kind as string];
      if (!entry) throw new RangeError(`${name} has no kind ${String(value.kind)}`);
      const content = new Writer();
      entry.codec.encode(value, content);
      writer.u16le(entry.type).u16le(content.length + BLOCK_HEADER_BYTES);
      writer.slice(content.bytes());
    },
  };
}
