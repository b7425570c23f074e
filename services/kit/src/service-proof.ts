/** How services prove themselves to each other, beside the shared secret or instead of it: what the environment says of it. */
import { type Environment, EnvironmentError, readText } from './environment.ts';

/** PEM files. */
export interface ServiceTlsFiles {
  certificatePath: string;
  keyPath: string;
  /** Who signs the services' certificates, and nobody else's. */
  caPath: string;
}

export interface ServiceTokenFiles {
  /** PEM, PKCS #8, Ed25519: what this process signs with. */
  keyPath: string;
  /** JSON Web Key Set: whom it believes, each key with the `services` that have it. */
  keysPath: string;
}

export interface ServiceProof {
  tls: ServiceTlsFiles | null;
  tokens: ServiceTokenFiles | null;
}

export const secretAlone: ServiceProof = { tls: null, tokens: null };

export const hasProof = ({ tls, tokens }: ServiceProof): boolean => tls !== null || tokens !== null;

export function readServiceProof(environment: Environment): ServiceProof {
  const path = (variable: string): string => readText(environment, variable, '');
  const certificatePath = path('LUCID_SERVICE_TLS_CERT');
  const tlsKeyPath = path('LUCID_SERVICE_TLS_KEY');
  const caPath = path('LUCID_SERVICE_TLS_CA');
  const tls = [certificatePath, tlsKeyPath, caPath];
  if (tls.includes('') && tls.some((each) => each !== ''))
    throw new EnvironmentError(
      'LUCID_SERVICE_TLS_CERT',
      'must be given together with LUCID_SERVICE_TLS_KEY and LUCID_SERVICE_TLS_CA',
    );
  const keyPath = path('LUCID_SERVICE_KEY');
  const keysPath = path('LUCID_SERVICE_KEYS');
  if ((keyPath === '') !== (keysPath === ''))
    throw new EnvironmentError('LUCID_SERVICE_KEY', 'and LUCID_SERVICE_KEYS must be given together');
  return {
    tls: certificatePath === '' ? null : { certificatePath, keyPath: tlsKeyPath, caPath },
    tokens: keyPath === '' ? null : { keyPath, keysPath },
  };
}
