/** Heads of the HTTP requests an RD Gateway is asked by ([MS-TSGU] 3.3.5.1): their methods are none of HTTP's, so Node's parser refuses them. */

export const rdgMethods = ['RDG_OUT_DATA', 'RDG_IN_DATA'] as const;
export type RdgMethod = (typeof rdgMethods)[number];

export interface RdgHead {
  method: RdgMethod;
  url: string;
  /** By lower-case name; of several with one name the last counts. */
  headers: Record<string, string>;
}

const headersMax = 100;
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}$/;

/** `text`: all before the empty line. Null where it is no such request. */
export function parseHead(text: string): RdgHead | null {
  const [first = '', ...lines] = text.split('\r\n');
  const [method, url = '', version, ...more] = first.split(' ');
  const known = rdgMethods.find((name) => name === method);
  if (known === undefined || !url.startsWith('/') || version !== 'HTTP/1.1' || more.length > 0) return null;
  const headers: Record<string, string> = Object.create(null);
  if (lines.length > headersMax) return null;
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(0, colon));
    if (!token.test(name)) return null;
    headers[name.toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { method: known, url, headers };
}
