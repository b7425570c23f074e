/** The body of an answer, read up to `bytesMax`; beyond it the connection is let go and null answered. Throws what `fetch` throws. */
export async function readBounded(response: Response, bytesMax: number): Promise<Buffer | null> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += part.length;
    if (length > bytesMax) return null;
    parts.push(part);
  }
  return Buffer.concat(parts);
}
