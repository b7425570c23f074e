/** Outside anchors, from the environment: Blockchain Core, an EVM chain, an RFC 3161 timestamp authority, any of them or none. */
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  BLOCKCHAIN_CORE_BACKEND,
  BlockchainCoreAnchor,
  type BlockchainCoreOptions,
  checkEvmAnchor,
  EvmAnchor,
  TimestampAnchor,
} from '@lucid-sessions/anchors';
import { type AnchorReceipt, LucidError, type StoragePort } from '@lucid-sessions/contract';
import {
  type AnchorVerdict,
  type BundleAnchor,
  EVM_BACKEND,
  readAuthority,
  type TimestampAuthority,
} from '@lucid-sessions/evidence';
import {
  type Environment,
  EnvironmentError,
  readConfiguredSecret,
  readText,
  readUrl,
  unreadable,
} from '@lucid-sessions/kit';
import type { Anchor, AnchorRequest, Stamper } from '@lucid-sessions/pipeline';
import { readEvmAnchor, readEvmChain } from './evm.ts';

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
  return blocks.map((block) => ({ name, certificate: derOf(block) }));
}

function derOf(block: string): string {
  try {
    return new X509Certificate(block).raw.toString('base64');
  } catch (cause) {
    throw new EnvironmentError('LUCID_TSA_CERTIFICATE', 'names a PEM file whose certificate is damaged', { cause });
  }
}

function pemBlocks(path: string): string[] {
  if (path === '') return [];
  try {
    return readFileSync(path, 'utf8').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  } catch (thrown) {
    throw unreadable('LUCID_TSA_CERTIFICATE', path, thrown);
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
  const evm = readEvmAnchor(environment);
  if (evm !== null) anchors.push(new EvmAnchor({ ...evm, nowUs: deps.nowUs }));
  const tsa = openTsa(environment, deps);
  if (tsa !== null) anchors.push(tsa);
  return anchors;
}

/** Null: no authority is named. */
function openTsa(environment: Environment, { nowUs }: Pick<AnchorsDeps, 'nowUs'>): TimestampAnchor | null {
  const tsas = readTsas(environment);
  if (tsas.length === 0) return null;
  return new TimestampAnchor({
    url: readUrl(environment, 'LUCID_TSA_URL', ''),
    authorities: tsas.map(authorityOf),
    nowUs,
  });
}

/** Who stamps evidence records. */
export function openStamper(environment: Environment, deps: Pick<AnchorsDeps, 'nowUs'>): Stamper {
  const tsa = openTsa(environment, deps);
  if (tsa === null)
    throw new EnvironmentError('LUCID_RENEWAL_DAYS', 'needs LUCID_TSA_URL: whose timestamps are to renew');
  return tsa;
}

/** Asks a verification may take: somebody waits for its answer. */
const quick = { attemptsMax: 1, timeoutMs: 3_000 } as const;
const quickNode = { retriesMax: 0, timeoutMs: 3_000 } as const;

export type AnchorCheck = (anchor: BundleAnchor) => Promise<AnchorVerdict | null>;

/** For a verification that may ask: whether the chain still says what the receipt says. Null where there is no chain. */
export function anchorCheck(environment: Environment): AnchorCheck | null {
  const evm = readEvmChain(environment);
  const checks: Record<string, AnchorCheck> = {
    ...(environment.BLOCKCHAIN_ANCHORING_URL ? { [BLOCKCHAIN_CORE_BACKEND]: coreCheck(environment) } : {}),
    ...(evm === null ? {} : { [EVM_BACKEND]: (anchor) => checkEvmAnchor({ ...evm, ...quickNode }, anchor) }),
  };
  if (Object.keys(checks).length === 0) return null;
  return async (anchor) => checks[anchor.backend]?.(anchor) ?? null;
}

function coreCheck(environment: Environment): AnchorCheck {
  const core = new BlockchainCoreAnchor(coreOptions(environment, quick));
  return async (anchor) => {
    try {
      return verdictOf(await core.check(requestOf(anchor), receiptOf(anchor)));
    } catch (thrown) {
      if (isRefusal(thrown)) return { state: 'invalid', message: thrown.message };
      // Out of reach: the receipt stays a claim, which is no finding.
      return null;
    }
  };
}

const isRefusal = (thrown: unknown): thrown is LucidError => thrown instanceof LucidError && thrown.status === 500;

function verdictOf(receipt: AnchorReceipt | null): AnchorVerdict {
  if (receipt?.status === 'confirmed' && receipt.confirmedAtUs !== null)
    return { state: 'confirmed', timeUs: receipt.confirmedAtUs };
  if (receipt?.status === 'reorged') return { state: 'reorged', message: receipt.detail ?? 'the chain dropped it' };
  return { state: 'pending', message: receipt?.detail ?? 'the chain does not confirm it now' };
}

const requestOf = ({ session_id, digest, submitted_us }: BundleAnchor): AnchorRequest => ({
  sessionId: session_id,
  merkleRoot: digest,
  chunksCount: 0,
  totalBytes: 0,
  createdAtUs: submitted_us,
  checkpoint: null,
});

const receiptOf = (anchor: BundleAnchor): AnchorReceipt => ({
  backend: anchor.backend,
  status: anchor.status,
  submittedAtUs: anchor.submitted_us,
  confirmedAtUs: anchor.confirmed_us,
  blockHeight: anchor.block_height,
  transactionId: anchor.transaction_id,
  merkleRoot: anchor.digest,
  detail: anchor.detail,
});

function coreOptions(environment: Environment, more: Partial<BlockchainCoreOptions>): BlockchainCoreOptions {
  const tokenFile = readText(environment, 'BLOCKCHAIN_ANCHORING_TOKEN_FILE', '');
  return {
    baseUrl: readUrl(environment, 'BLOCKCHAIN_ANCHORING_URL', ''),
    ...(tokenFile === ''
      ? {}
      : { authorization: `Bearer ${readConfiguredSecret('BLOCKCHAIN_ANCHORING_TOKEN_FILE', tokenFile)}` }),
    ...more,
  };
}

function blockchainCore(environment: Environment, { storage, nowUs, log }: AnchorsDeps): Anchor {
  return new BlockchainCoreAnchor(
    coreOptions(environment, {
      nowUs,
      onEquivocation: ({ sessionId, ours, theirs }) => {
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
    }),
  );
}
