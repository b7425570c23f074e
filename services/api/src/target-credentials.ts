/** Credentials for a target on their way from a request to the pipeline, and what the audit log is told of them. */
import {
  credentialsOf,
  credentialTarget,
  LucidError,
  type NewTargetCredentials,
  type SessionDocument,
  type TargetCredentialsRequest,
} from '@lucid-sessions/contract';
import type { Call } from './call.ts';

interface CredentialsCall {
  body: { target_credentials?: TargetCredentialsRequest | undefined } | null | undefined;
  told: Call['told'];
}

/** As the pipeline takes them; what they are goes nowhere else. */
export function credentialsIn(
  { body, told }: CredentialsCall,
  { rdp_config: rdp }: Pick<SessionDocument, 'rdp_config'>,
): { targetCredentials?: NewTargetCredentials } {
  const request = body?.target_credentials;
  if (request === undefined) return {};
  const targetCredentials = credentialsOf(request, rdp);
  if (targetCredentials !== null) {
    told.credentials = namesOf(targetCredentials);
    return { targetCredentials };
  }
  throw new LucidError('invalidRequest', 'target_credentials.username: say who is to log on, here or in rdp_config', {
    details: { issues: [{ field: 'body.target_credentials.username', message: 'must be given' }] },
  });
}

/** Whose they are, or where they lie: who had the gateway log on as whom must be known afterwards. */
function namesOf(given: NewTargetCredentials): Record<string, string> {
  switch (given.source) {
    case 'client':
      return { source: 'client' };
    case 'injected':
      return { source: 'injected', username: given.credentials.username, domain: given.credentials.domain };
    case 'vault':
      return { source: 'vault', path: `${given.reference.engine}:${given.reference.mount}/${given.reference.path}` };
  }
}

/** For another target its credentials are worth nothing: said here, not to whoever connects. */
export function checkCredentials(from: SessionDocument, to: SessionDocument): void {
  if (from.credentials !== 'injected' && from.credentials !== 'vault') return;
  if (credentialTarget(from) === credentialTarget(to)) return;
  throw new LucidError(
    'notInThisState',
    'the session holds credentials for this target, which are for no other: create a new session',
  );
}
