/** The OpenAPI document as a page somebody reads. */

interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  description?: string;
  format?: string;
  pattern?: string;
  default?: unknown;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
}

interface Content {
  content?: Record<string, { schema: Schema }>;
}

interface Operation {
  operationId: string;
  summary: string;
  description?: string;
  tags: string[];
  parameters: { name: string; in: string; required: boolean; description?: string; schema: Schema }[];
  requestBody?: Content & { required: boolean };
  responses: Record<string, Content & { description: string }>;
}

export interface OpenApi {
  info: { title: string; version: string; description: string };
  tags: { name: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

const depthMax = 6;

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
const code = (text: string): string => `<code>${escaped(text)}</code>`;
const named = ($ref: string): string => $ref.split('/').at(-1) ?? '';

/** In words: `string, 1 to 100 characters`. */
function kindOf(schema: Schema): string {
  if (schema.$ref !== undefined) return `<a href="#schema-${named(schema.$ref)}">${named(schema.$ref)}</a>`;
  const variants = schema.anyOf ?? schema.oneOf;
  if (variants !== undefined) return variants.map(kindOf).join(' or ');
  if (schema.const !== undefined) return code(JSON.stringify(schema.const));
  if (schema.enum !== undefined) return schema.enum.map((value) => code(String(value))).join(', ');
  if (schema.type === 'array') return `list of ${kindOf(schema.items ?? {})}`;
  const type = Array.isArray(schema.type) ? schema.type.join(' or ') : (schema.type ?? 'any');
  const { minimum, maximum, minLength, maxLength } = schema;
  const bounds = [
    minimum === undefined && maximum === undefined ? '' : `${minimum ?? ''} to ${maximum ?? ''}`,
    minLength === undefined && maxLength === undefined ? '' : `${minLength ?? 0} to ${maxLength ?? ''} characters`,
    schema.pattern === undefined ? (schema.format ?? '') : code(schema.pattern),
  ];
  return [type, ...bounds.filter((bound) => bound !== '')].join(', ');
}

const notesOf = ({ description = '', default: fallback }: Schema): string =>
  [
    escaped(description),
    fallback === undefined || typeof fallback === 'object' ? '' : `default ${code(String(fallback))}`,
  ]
    .filter((note) => note !== '')
    .join(' · ');

/** Rows of an object's fields, those inside of fields below them. */
function fieldRows(schema: Schema, prefix = '', depth = 0): string[] {
  if (depth > depthMax) return [];
  const rows: string[] = [];
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    const need = schema.required?.includes(name) === true ? '' : ' <small>may be left out</small>';
    rows.push(`<tr><td>${code(path)}${need}</td><td>${kindOf(field)}</td><td>${notesOf(field)}</td></tr>`);
    const inner = field.type === 'array' ? (field.items ?? {}) : field;
    for (const each of [inner, ...(inner.anyOf ?? inner.oneOf ?? [])])
      rows.push(...fieldRows(each, field.type === 'array' ? `${path}[]` : path, depth + 1));
  }
  return rows;
}

const tableOf = (header: readonly string[], rows: readonly string[]): string =>
  `<div class="wide"><table><thead><tr>${header.map((name) => `<th>${name}</th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`;

function schemaOf(schema: Schema): string {
  const rows = fieldRows(schema);
  return rows.length === 0 ? `<p>${kindOf(schema)}</p>` : tableOf(['Field', 'Type', ''], rows);
}

const contentOf = ({ content = {} }: Content): string =>
  Object.entries(content)
    .map(([type, { schema }]) => (type === 'application/json' ? schemaOf(schema) : `<p>${code(type)}</p>`))
    .join('');

function operationOf(path: string, method: string, operation: Operation): string {
  const { operationId, summary, description = '', parameters, requestBody, responses } = operation;
  const rows = parameters.map(
    ({ name, in: where, required, description: about = '', schema }) =>
      `<tr><td>${code(name)}</td><td>${where}${required ? '' : ', may be left out'}</td><td>${kindOf(schema)}</td><td>${notesOf({ ...schema, description: about || (schema.description ?? '') })}</td></tr>`,
  );
  const answers = Object.entries(responses).map(([status, answer]) => {
    const isGood = status.startsWith('2');
    return isGood
      ? `<h4>Answer ${status}</h4>${contentOf(answer)}`
      : `<p>${status}: ${escaped(answer.description)}</p>`;
  });
  const rights = escaped(description).replaceAll(/`([^`]+)`/g, '<code>$1</code>');
  return `<details id="${operationId}"><summary><span class="method">${method.toUpperCase()}</span>${code(path)} ${escaped(summary)}</summary>
<p>${rights === '' ? 'Open to everyone.' : rights} Operation ${code(operationId)}.</p>
${rows.length === 0 ? '' : `<h4>Parameters</h4>${tableOf(['Name', 'Where', 'Type', ''], rows)}`}
${requestBody === undefined ? '' : `<h4>Body${requestBody.required ? '' : ', may be left out'}</h4>${contentOf(requestBody)}`}
${answers.join('\n')}</details>`;
}

export function apiPage({ info, tags, paths, components }: OpenApi): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const groups = tags.map(({ name }) => {
    const own = operations.filter(({ operation }) => operation.tags.includes(name));
    const list = own.map(({ path, method, operation }) => operationOf(path, method, operation)).join('\n');
    return `<h2 id="${name}">${name}</h2>\n${list}`;
  });
  const schemas = Object.entries(components.schemas).map(
    ([name, schema]) => `<h3 id="schema-${name}">${name}</h3>${schemaOf(schema)}`,
  );
  return `<h1 id="rest-api">REST API</h1>
<p>${escaped(info.title)} ${escaped(info.version)}. ${escaped(info.description)} Every running API serves the document this page is made of as <code>/openapi.json</code>. A method that a path does not have is answered 405 with <code>Allow</code>; every error has the same body, <a href="#schema-Error">Error</a>.</p>
<p>${tags.map(({ name }) => `<a href="#${name}">${name}</a>`).join(' · ')}</p>
${groups.join('\n')}
<h2 id="schemas">Schemas</h2>
${schemas.join('\n')}`;
}
