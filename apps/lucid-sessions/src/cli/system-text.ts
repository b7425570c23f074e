/** Errors of the operating system, as a person says them. */
const words: Readonly<Record<string, string>> = {
  ENOENT: 'is not there',
  EACCES: 'may not be read or written by this user',
  EPERM: 'may not be read or written by this user',
  EISDIR: 'is a directory, not a file',
  ENOTDIR: 'leads through a file that is no directory',
  EEXIST: 'is there already',
  ENOSPC: 'has no room: the disk is full',
  EROFS: 'can’t be written: the disk is read-only',
  ENOTEMPTY: 'is not empty',
  ELOOP: 'leads through too many links',
  ENAMETOOLONG: 'is too long a name',
};

/** Its own text where it names no file or is of another kind. */
export function systemText({ code = '', path, dest, message }: NodeJS.ErrnoException & { dest?: string }): string {
  const named = dest ?? path;
  const said = words[code];
  return said === undefined || named === undefined ? message : `${named} ${said}`;
}
