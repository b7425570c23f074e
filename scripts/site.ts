/** `npm run site`: the documents as a site of static pages, in `dist/site`. A link that leads nowhere ends it. */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { Marked } from 'marked';
import { linkedFiles } from '../apps/lucid-sessions/documents.ts';
import { apiPage, type OpenApi } from './site-api.ts';

const root = join(import.meta.dirname, '..');

/** Places by what somebody comes for; a place is a page, or a part of one. */
const navigation: readonly [string, readonly [string, string][]][] = [
  [
    'Begin',
    [
      ['Quick start', 'README.md'],
      ['Windows hosts', 'docs/windows.md'],
      ['Command line', 'docs/command-line.md'],
    ],
  ],
  [
    'Run it',
    [
      ['Deployment', 'docs/deployment.md'],
      ['Configuration', 'docs/operations.md#configuration'],
      ['TLS', 'docs/operations.md#how-services-know-each-other'],
      ['Users and roles', 'docs/users.md'],
      ['Targets', 'docs/targets.md'],
      ['Retention and holds', 'docs/operations.md#how-long-recordings-are-kept'],
      ['Backup and restore', 'docs/operations.md#backup-and-restore'],
      ['Sizing', 'docs/sizing.md'],
      ['Monitoring', 'docs/monitoring.md'],
      ['Upgrading', 'docs/operations.md#upgrading'],
      ['Troubleshooting', 'docs/troubleshooting.md'],
    ],
  ],
  [
    'Look into it',
    [
      ['Auditor’s walk-through', 'docs/compliance.md'],
      ['Redacted copies', 'docs/redaction.md'],
      ['Threat model', 'docs/threat-model.md'],
    ],
  ],
  [
    'Build on it',
    [
      ['Integrator’s guide', 'docs/integrators.md'],
      ['REST API', 'docs/api.md'],
      ['Evidence format', 'docs/format.md'],
    ],
  ],
];

/** Made of the OpenAPI document; no file of the repository. */
const apiSource = 'docs/api.md';

/** A heading's name in a link, as GitHub makes it. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-');

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** `docs/x.md` → `docs/x.html`; README is the first page. */
const pageOf = (source: string): string => (source === 'README.md' ? 'index.html' : source.replace(/\.md$/, '.html'));

/** From one page to another place of the repository. */
function linkFrom(page: string, target: string): string {
  const [path = '', anchor] = target.split('#');
  const to = posix.relative(posix.dirname(page), pageOf(path)) || posix.basename(pageOf(path));
  return anchor === undefined ? to : `${to}#${anchor}`;
}

function bodyOf(source: string, text: string): { title: string; html: string } {
  let title = source;
  const markdown = new Marked({
    gfm: true,
    renderer: {
      heading({ tokens, depth, text: words }) {
        const html = this.parser.parseInline(tokens);
        if (depth === 1) title = words;
        return `<h${depth} id="${anchorOf(words)}">${html}</h${depth}>\n`;
      },
      link({ href, tokens }) {
        const html = this.parser.parseInline(tokens);
        if (/^(?:[a-z][a-z0-9+.-]*:|\/\/|#)/i.test(href)) return `<a href="${escaped(href)}">${html}</a>`;
        const [path = '', anchor] = href.split('#');
        const target = posix.join(posix.dirname(source), path) + (anchor === undefined ? '' : `#${anchor}`);
        return `<a href="${escaped(linkFrom(pageOf(source), target))}">${html}</a>`;
      },
    },
  });
  const html = markdown.parse(text) as string;
  return {
    title,
    html: html.replaceAll('<table>', '<div class="wide"><table>').replaceAll('</table>', '</table></div>'),
  };
}

function navigationOf(page: string): string {
  const groups = navigation.map(([group, places]) => {
    const items = places.map(([name, target]) => {
      const current = pageOf(target) === page ? ' aria-current="page"' : '';
      return `<li><a href="${escaped(linkFrom(page, target))}"${current}>${name}</a></li>`;
    });
    return `<h2>${group}</h2><ul>${items.join('')}</ul>`;
  });
  return `<nav aria-label="Pages">${groups.join('')}</nav>`;
}

const style = `
:root { color-scheme: light dark; --line: light-dark(#d5dae1, #3a414b); --soft: light-dark(#f4f6f8, #20252c); }
body { margin: 0; font: 16px/1.6 system-ui, sans-serif; color: light-dark(#1c2430, #e4e8ee); background: light-dark(#fff, #15191f); }
a { color: light-dark(#0b5cad, #7db8f5); }
.frame { display: grid; grid-template-columns: 15rem minmax(0, 1fr); max-width: 82rem; margin: 0 auto; }
nav { padding: 1.5rem 1rem; border-right: 1px solid var(--line); font-size: .94rem; }
nav h2 { margin: 1rem 0 .2rem; font-size: .8rem; text-transform: uppercase; letter-spacing: .05em; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li a { display: block; padding: .15rem 0; text-decoration: none; }
nav a[aria-current] { font-weight: 600; }
main { padding: 1.5rem 2rem 4rem; min-width: 0; overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.25; }
pre, code { font: 14px/1.5 ui-monospace, monospace; background: var(--soft); border-radius: 4px; }
code { padding: .1em .3em; overflow-wrap: anywhere; }
pre { padding: .8rem 1rem; overflow-x: auto; }
pre code { padding: 0; overflow-wrap: normal; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .94rem; }
th, td { border: 1px solid var(--line); padding: .35rem .6rem; text-align: left; vertical-align: top; }
td:first-child code { overflow-wrap: normal; }
img { max-width: 100%; }
.skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; top: .5rem; }
.method { font: 600 13px ui-monospace, monospace; margin-right: .5rem; }
details { border: 1px solid var(--line); border-radius: 6px; padding: .4rem .8rem; margin: .5rem 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
@media (max-width: 800px) { .frame { display: block; } nav { border-right: 0; border-bottom: 1px solid var(--line); } nav ul { columns: 2; } main { padding: 1rem; } }
`;

const frameOf = (page: string, title: string, html: string): string => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)} · Lucid Sessions</title>
<link rel="stylesheet" href="${linkFrom(page, 'site.css')}"></head>
<body><a class="skip" href="#main">To the text</a>
<div class="frame">${navigationOf(page)}<main id="main">${html}</main></div></body>
</html>
`;

/** Links of the pages that lead to no page, file or heading of the site, as `page: target`. */
export function deadLinks(pages: ReadonlyMap<string, string>, files: ReadonlySet<string>): string[] {
  const anchors = new Map(
    [...pages].map(([page, html]) => [page, new Set([...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id))]),
  );
  const dead: string[] = [];
  for (const [page, html] of pages)
    for (const [, target = ''] of html.matchAll(/ (?:href|src)="([^"]+)"/g)) {
      if (/^(?:[a-z][a-z0-9+.-]*:|\/\/)/i.test(target)) continue;
      const [path = '', anchor] = target.split('#');
      const to = path === '' ? page : posix.join(posix.dirname(page), path);
      const isThere = pages.has(to) ? anchor === undefined || anchors.get(to)!.has(anchor) : files.has(to);
      if (!isThere) dead.push(`${page}: ${target}`);
    }
  return dead;
}

export interface Site {
  pages: Map<string, string>;
  /** What pages lead to beside pages: pictures, schemas, by path from the repository's root. */
  files: Set<string>;
}

/** README and every document it leads to. Throws for a link that leads nowhere. */
export async function makeSite(): Promise<Site> {
  const { files: linked, dead } = await linkedFiles(root);
  const sources = linked.filter((path) => path.endsWith('.md'));
  const files = new Set(linked.filter((path) => !path.endsWith('.md')));
  const pages = new Map<string, string>();
  for (const source of sources) {
    const { title, html } = bodyOf(source, readFileSync(join(root, source), 'utf8'));
    pages.set(pageOf(source), frameOf(pageOf(source), title, html));
  }
  const document = JSON.parse(readFileSync(join(root, 'docs/openapi.json'), 'utf8')) as OpenApi;
  pages.set(pageOf(apiSource), frameOf(pageOf(apiSource), 'REST API', apiPage(document)));
  const all = [...dead, ...deadLinks(pages, new Set([...files, 'site.css']))];
  if (all.length > 0) throw new Error(`links that lead nowhere:\n${all.join('\n')}`);
  return { pages, files };
}

export async function writeSite(outdir: string): Promise<Site> {
  const site = await makeSite();
  rmSync(outdir, { recursive: true, force: true });
  const put = (path: string): string => {
    mkdirSync(dirname(join(outdir, path)), { recursive: true });
    return join(outdir, path);
  };
  for (const [page, html] of site.pages) writeFileSync(put(page), html);
  for (const file of site.files) cpSync(join(root, file), put(file));
  writeFileSync(put('site.css'), style);
  return site;
}

if (import.meta.main) {
  const outdir = join(root, 'dist', 'site');
  const { pages, files } = await writeSite(outdir);
  console.log(`${outdir}: ${pages.size} pages, ${files.size} files`);
}
