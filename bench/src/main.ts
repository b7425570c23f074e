/** `npm run bench <name> [options]`: runs one benchmark of this folder by its file's name, or lists them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('.', import.meta.url));
const [name = '', ...args] = process.argv.slice(2);

/** Benchmarks export `run`; the other files are their helpers. */
function benchNames(): string[] {
  return readdirSync(folder)
    .filter(
      (file) =>
        file.endsWith('.ts') && /export (?:async )?(?:function|const) run\b/.test(readFileSync(folder + file, 'utf8')),
    )
    .map((file) => file.slice(0, -'.ts'.length));
}

if (!/^[a-z][a-z0-9-]*$/.test(name) || !existsSync(`${folder}${name}.ts`)) {
  process.stderr.write(`usage: npm run bench <name> [options]\nbenches: ${benchNames().join(', ')}\n`);
  process.exitCode = 2;
} else {
  const { run } = (await import(`./${name}.ts`)) as { run: (args: string[]) => Promise<void> };
  await run(args);
}
