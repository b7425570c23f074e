/** The server under the API: HTTP, or HTTPS with the operator's certificate. */
import { readFileSync } from 'node:fs';
import { createServer, type Server, type ServerOptions } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createSecureContext } from 'node:tls';
import { type Environment, EnvironmentError, noteCertificate, readText } from '@lucid-sessions/kit';

/** PEM files. */
export interface ApiTls {
  certificatePath: string;
  keyPath: string;
}

const certificateVariable = 'LUCID_API_TLS_CERT';
const keyVariable = 'LUCID_API_TLS_KEY';

/** Null: plain HTTP, for a proxy that does TLS. */
export function readApiTls(environment: Environment): ApiTls | null {
  const certificatePath = readText(environment, certificateVariable, '');
  const keyPath = readText(environment, keyVariable, '');
  if ((certificatePath === '') !== (keyPath === ''))
    throw new EnvironmentError(keyVariable, `and ${certificateVariable} must be given together`);
  return certificatePath === '' ? null : { certificatePath, keyPath };
}

function readPem(variable: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new EnvironmentError(variable, `names ${path}, which can't be read (${code})`, { cause });
  }
}

/** Throws EnvironmentError for files no client could connect with. */
function readPair({ certificatePath, keyPath }: ApiTls): { cert: Buffer; key: Buffer } {
  const pair = { cert: readPem(certificateVariable, certificatePath), key: readPem(keyVariable, keyPath) };
  try {
    createSecureContext(pair);
    noteCertificate('api', pair.cert);
  } catch (cause) {
    const problem = `names ${certificatePath}, which is no certificate in PEM form with the key of ${keyVariable}`;
    throw new EnvironmentError(certificateVariable, problem, { cause });
  }
  return pair;
}

const tlsSettings = { minVersion: 'TLSv1.2' } as const;

export function createApiHttpServer(
  tls: ApiTls | null,
  options: ServerOptions,
  handler: Parameters<typeof createServer>[1],
): Server {
  return tls === null
    ? createServer(options, handler)
    : createTlsServer({ ...options, ...tlsSettings, ...readPair(tls) }, handler);
}
