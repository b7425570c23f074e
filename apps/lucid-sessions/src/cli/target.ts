/** `host`, `host:port`, `[v6]`, `[v6]:port`. Throws RangeError that says what it must look like. */
export function parseTarget(target: string): { host: string; port: number } {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+))(?::(\d{1,5}))?$/.exec(target);
  const port = Number(match?.[3] ?? 3389);
  if (!match || !(port >= 1 && port <= 65535))
    throw new RangeError(`"${target}" is not a target: write host, host:port or [ipv6]:port`);
  return { host: match[1] ?? match[2] ?? '', port };
}
