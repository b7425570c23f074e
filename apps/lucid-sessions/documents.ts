/** What a Markdown document leads to by relative links: the files a reader can open from it, and the links that lead nowhere. */
import { readFile, stat } from 'node:fs/promises';
import { join, posix } from 'node:path';

export interface LinkedFiles {
  /** Paths below the directory, the first document among them, sorted. */
  files: string[];
  /** `document: target`, of a file or a heading that is not there. */
  dead: string[];
}

const links = /\]\(([^)\s]+)\)/g;
const elsewhere = /^(?:[a-z][a-z0-9+.-]*:|\/\/)/i;
const codeBlocks = /^```[\s\S]*?^```/gm;

/** A heading's name in a link, as GitHub makes it. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-');

const anchorsOf = (text: string): Set<string> =>
  new Set([...text.matchAll(/^#+ +(.+)$/gm)].map(([, heading = '']) => anchorOf(heading.trim())));

export async function linkedFiles(directory: string, first = 'README.md'): Promise<LinkedFiles> {
  const files = new Set([first]);
  const dead: string[] = [];
  // A set hands out what is added while it is walked.
  for (const path of files) {
    if (!path.endsWith('.md')) continue;
    const text = (await readFile(join(directory, path), 'utf8')).replace(codeBlocks, '');
    for (const [, target = ''] of text.matchAll(links)) {
      if (elsewhere.test(target)) continue;
      const [name = '', anchor] = target.split('#');
      const file = name === '' ? path : posix.join(posix.dirname(path), name);
      const leaves = file === '..' || file.startsWith('../');
      const isThere = !leaves && (await stat(join(directory, file)).catch(() => null))?.isFile() === true;
      const hasAnchor = async () => anchorsOf(await readFile(join(directory, file), 'utf8')).has(anchor ?? '');
      if (!isThere || (anchor !== undefined && !(await hasAnchor()))) dead.push(`${path}: ${target}`);
      else files.add(file);
    }
  }
  return { files: [...files].sort(), dead };
}
