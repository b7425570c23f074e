/** Writes docs/openapi.json from the route table of the contract. A test fails while the two differ. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { openApiDocument } from '@lucid-sessions/contract';

const root = new URL('../', import.meta.url);
const path = fileURLToPath(new URL('docs/openapi.json', root));
const { version } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { version: string };
mkdirSync(new URL('docs/', root), { recursive: true });
writeFileSync(path, JSON.stringify(openApiDocument(version)));
const formatter = fileURLToPath(import.meta.resolve('@biomejs/biome/bin/biome'));
execFileSync(process.execPath, [formatter, 'format', '--write', path], { stdio: 'inherit' });
