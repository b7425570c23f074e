import type { Codec } from '@lucid-sessions/wire';
import { type Fields, type StructOf, textOfUtf16 } from '@lucid-sessions/wire/struct';

/** Building blocks of the packets of [MS-TSGU] 2.2.10. */

/** Optional fields in wire order, each with the bit of `fieldsPresent` that says it is there. */
type Flagged = { readonly [name: string]: readonly [flag: number, codec: Codec<unknown>] };
type FlaggedOf<O extends Flagged> = {
  -readonly [K in keyof O]?: O[K][1] extends Codec<infer T> ? T : never;
};
type Value<F extends Fields, O extends Flagged> = StructOf<F> & FlaggedOf<O> & { trailing?: Uint8Array };

/** A field whose bit is set is there; what stands behind the last one is kept. */
export function withOptional<F extends Fields & { fieldsPresent: Codec<number> }, O extends Flagged>(
  head: Codec<StructOf<F>>,
  optional: O,
): Codec<Value<F, O>> {
  const entries = Object.entries(optional);
  return {
    name: head.name,
    decode(reader) {
      const value = head.decode(reader) as Record<string, unknown> & { fieldsPresent: number };
      for (const [name, [flag, codec]] of entries)
        if ((value.fieldsPresent & flag) !== 0) value[name] = codec.decode(reader);
      if (reader.remaining > 0) value.trailing = reader.rest();
      return value as unknown as Value<F, O>;
    },
    encode(value, writer) {
      head.encode(value, writer);
      const fields = value as Record<string, unknown>;
      for (const [name, [, codec]] of entries) if (fields[name] !== undefined) codec.encode(fields[name], writer);
      if (value.trailing !== undefined) writer.slice(value.trailing);
    },
  };
}

/** HTTP_UNICODE_STRING, 2.2.10.22, as text: clients write a terminator or none. */
export function gatewayText(bytes: Uint8Array): string {
  const text = textOfUtf16(bytes);
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}
