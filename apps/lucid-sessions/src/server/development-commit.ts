import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

const text = async (...path: string[]): Promise<string> => (await readFile(join(...path), 'utf8')).trim();

/** The commit a checkout is at; null where there is none to be read. Whether files were changed since is not looked at. */
export async function commitHere(root = join(import.meta.dirname, '../../../..')): Promise<string | null> {
  try {
    // In a worktree `.git` is a file that leads to the rest.
    const pointer = await text(root, '.git').catch(() => null);
    const own = pointer === null ? join(root, '.git') : resolve(root, pointer.replace(/^gitdir: /, ''));
    const common = resolve(own, await text(own, 'commondir').catch(() => '.'));
    const head = await text(own, 'HEAD');
    const [, ref] = /^ref: (refs\/[\w./-]+)$/.exec(head) ?? [];
    if (ref === undefined) return commitOf(head);
    const loose = await text(common, ref).catch(() => null);
    const packed = loose ?? (await text(common, 'packed-refs')).split('\n').find((line) => line.endsWith(` ${ref}`));
    return commitOf(packed?.split(' ')[0] ?? '');
  } catch {
    return null;
  }
}

const commitOf = (word: string): string | null => (/^[0-9a-f]{40,64}$/.test(word) ? word : null);
