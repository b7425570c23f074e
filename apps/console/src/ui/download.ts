import { h } from './dom.ts';

/** Long enough for the browser to have read the blob behind the address. */
const addressLivesMs = 60_000;

/** Offers a blob as a download. */
export function offerDownload(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = h('a', { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), addressLivesMs);
}
