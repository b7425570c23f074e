/** Outside anchors, from the environment: Blockchain Core, an RFC 3161 timestamp authority, both, or none. */
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { BlockchainCoreAnchor, TimestampAnchor } from '@lucid-sessions/adapters';
import type { StoragePort } from '@lucid-sessions/contract';
import { type Environment, EnvironmentError, readText, readUrl } from '@lucid-sessions/contract/http';
import { readAuthority, type TimestampAuthority } from '@lucid-sessions/evidence';
import type { Anchor } from '@lucid-sessions/pipeline';
import { readSecretFile } from './secret-file.ts';

const certificatesMax = 20;

/** A timestamp authority as a trust policy names it. */
export interface TrustedTsa {
  name: string;
  /** DER in base64. */
  certificate: string;
}

/** The authorities of LUCID_TSA_CERTIFICATE (PEM, one or several); none when LUCID_TSA_URL is not set. */
export function readTsas(environment: Environment): TrustedTsa[] {
  if (!environment.LUCID_TSA_URL) return [];
  const name = new URL(readUrl(environment, 'LUCID_TSA_URL', '')).hostname;
  const path = readText(environment, 'LUCID_TSA_CERTIFICATE', '');
  const blocks = pemBlocks(path);
  if (blocks.length === 0 || blocks.length > certificatesMax)
    throw new EnvironmentError(
      'LUCID_TSA_CERTIFICATE',
      'must name a PEM file with the certificate the timestamps of LUCID_TSA_URL are signed with',
    );
  return blocks.map((block) => ({ name, certificate: new X509Certificate(block).raw.toString('base64') }));
}

function pemBlocks(path: string): string[] {
  if (path === '') return [];
  try {
    return readFileSync(path, 'utf8').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw thrown;
  }
}

const authorityOf = ({ name, certificate }: TrustedTsa): TimestampAuthority =>
  readAuthority(name, new Uint8Array(Buffer.from(certificate, 'base64')));

export interface AnchorsDeps {
  storage: Pick<StoragePort, 'appendAudit'>;
  nowUs: () => number;
  /** What an operator should see. */
  log: (line: string) => void;
}

export function openAnchors(environment: Environment, deps: AnchorsDeps): Anchor[] {
  const anchors: Anchor[] = [];
  if (environment.BLOCKCHAIN_ANCHORING_URL) anchors.push(blockchainCore(environment, deps));
  const tsas = readTsas(environment);
  if (tsas.length > 0)
    anchors.push(
      new TimestampAnchor({
        url: readUrl(environment, 'LUCID_TSA_URL', ''),
        authorities: tsas.map(authorityOf),
        nowUs: deps.nowUs,
      }),
    );
  return anchors;
}

function blockchainCore(environment: Environment, { storage, nowUs, log }: AnchorsDeps): Anchor {
  const tokenFile = readText(environment, 'BLOCKCHAIN_ANCHORING_TOKEN_FILE', '');
  return new BlockchainCoreAnchor({
    baseUrl: readUrl(environment, 'BLOCKCHAIN_ANCHORING_URL', ''),
    ...(tokenFile === '' ? {} : { authorization: `Bearer ${readSecretFile(tokenFile)}` }),
    nowUs,
    onEquivocation({ sessionId, ours, theirs }) {
      const message = `ALARM: blockchain core holds the root ${theirs} for session ${sessionId}, not ours (${ours})`;
      log(message);
      // One event for one lie, however often it is told.
      const eventId = `equivocation:${createHash('sha256').update(`${sessionId} ${theirs}`).digest('hex')}`;
      storage
        .appendAudit({
          eventId,
          timestampUs: nowUs(),
          eventType: 'anchor_equivocation',
          userId: null,
          resourceId: sessionId,
          ipAddress: null,
          userAgent: null,
          success: false,
          errorMessage: message,
          details: { backend: 'blockchain-core', ours, theirs },
        })
        .catch((thrown: unknown) => log(`the alarm could not be written to the audit log: ${String(thrown)}`));
    },
  });
}
