/** Answers what a player asks of the Session API from a bundle at hand: chunks by their leaves, and the view key its reader has. */
import { type BundleSource, bundleNames, type Leaf } from '@lucid-sessions/evidence';
import { ApiClient } from '../api/client.ts';

const json = (body: unknown, status = 200): Response =>
  new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } });

const refusal = (message: string): Response => json({ error: { code: 'record_not_found', message } }, 404);

/** Chunks are named by their index, as decimal text. */
function chunkOf({ index, openedUs, closedUs, fileBytes }: Leaf) {
  return {
    chunk_id: String(index),
    sequence_number: index + 1,
    timestamp: new Date(openedUs / 1000).toISOString(),
    duration_seconds: (closedUs - openedUs) / 1e6,
    size_bytes: fileBytes,
    frame_count: 0,
  };
}

export function localApi(source: BundleSource, leaves: readonly Leaf[], viewKey: Uint8Array | null): ApiClient {
  async function answer(address: string): Promise<Response> {
    const { pathname, searchParams } = new URL(address, 'http://bundle.invalid');
    const [, place = '', chunk = ''] = /^\/sessions\/[^/]+\/(key|chunks)(?:\/(\d+)\/download)?$/.exec(pathname) ?? [];
    if (place === 'key') {
      // A recording in clear asks for none.
      const key = viewKey ?? new Uint8Array(32);
      return json({ key: btoa(String.fromCharCode(...key)) });
    }
    if (place !== 'chunks') return refusal('it is not in this file');
    if (chunk === '') {
      const [offset, limit] = [Number(searchParams.get('offset') ?? 0), Number(searchParams.get('limit') ?? 100)];
      const page = leaves.slice(offset, offset + limit).map(chunkOf);
      const hasNext = offset + page.length < leaves.length;
      return json({ chunks: page, pagination: { total: leaves.length, limit, offset, has_next: hasNext } });
    }
    const name = bundleNames.chunk(Number(chunk));
    const file = (await source.list()).find((each) => each.name === name);
    if (file === undefined) return refusal(`chunk ${Number(chunk) + 1} is not in this file`);
    return new Response((await source.read(name, 0, file.bytes)) as Uint8Array<ArrayBuffer>);
  }
  return new ApiClient(
    '',
    () => ({ csrfToken: null }),
    (input) => answer(String(input)),
  );
}
