/** Peers whose cable is pulled: silent ones and busy ones, on both sides, in network namespaces of the kernel. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** Needs root and network namespaces; says so where it can't. */
function isSkipped(t: TestContext): boolean {
  try {
    execFileSync('unshare', ['-n', 'ip', 'link', 'add', 'name', 'cable0', 'type', 'veth', 'peer', 'cable1'], {
      stdio: 'ignore',
    });
    return false;
  } catch {
    t.skip('needs root, and a kernel with network namespaces and veth');
    return true;
  }
}

test('a pulled cable is noticed within two minutes, on both sides, busy or silent', { timeout: 400_000 }, async (t) => {
  if (isSkipped(t)) return;
  const script = fileURLToPath(new URL('./support/pulled-cable.ts', import.meta.url));
  const output = await new Promise<string>((resolve, reject) => {
    execFile('unshare', ['-n', process.execPath, script], { timeout: 350_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${error.message}\n${stderr}`));
    });
  });
  const found = JSON.parse(output.trim().split('\n').at(-1) ?? '{}') as Record<
    string,
    { reason: string; seconds: number }
  >;
  for (const [name, { reason, seconds }] of Object.entries(found))
    t.diagnostic(`${name}: ${reason} after ${seconds.toFixed(0)} s`);
  assert.deepEqual(
    Object.entries(found)
      .map(([name, { reason }]) => [name, reason])
      .sort(),
    [
      ['busy-client', 'client_disconnected'],
      ['busy-target', 'server_disconnected'],
      ['silent-client', 'client_disconnected'],
      ['silent-target', 'server_disconnected'],
    ],
  );
  for (const { seconds } of Object.values(found)) assert.ok(seconds < 120, `${seconds} s`);
});
