/**
 * Network level authentication towards a client: before anything else it shows that it knows a credential the gateway issued, whose
 * user name says which session it asks for. What it delegates is the gateway's own secret again, and is thrown away unread.
 */
import type { AttemptReason, LogonAccount, LogonOutcome, LogonStanding, PipelinePort } from '@lucid-sessions/contract';
import { type Front, type FrontEvent, type NlaPolicy, Protocol, type X224ConnectionRequest } from '@lucid-sessions/rdp';
import {
  type AuthPlatform,
  type ClaimedAccount,
  CredSspServer,
  type CredSspServerEnding,
  LogonStatus,
} from '@lucid-sessions/rdp/auth';
import type { Driver } from './driver.ts';
import type { LogonLimits } from './logon-limits.ts';
import { flagsForAny } from './negotiation-flags.ts';
import { reached } from './refusals.ts';

/** How clients log on at this door. */
export interface NlaSettings {
  policy: NlaPolicy;
  /** Of CredSSP, 2 to 6. */
  minimumVersion: number;
  /** Names of users lead to sessions here (RDP_COOKIE_ROUTE), without a logon. */
  cookieRoute: boolean;
  /** What the gateway calls itself. */
  name: string;
  platform: AuthPlatform;
  limits: LogonLimits;
}

interface LogonParts {
  connectionId: string;
  clientAddress: string;
  front: Front;
  client: Driver<FrontEvent>;
  pipeline: Pick<PipelinePort, 'logonAccount' | 'logonTried'>;
  nla: NlaSettings;
  /** Of the certificate the client sees. */
  publicKey: Uint8Array;
  onProblem: (message: string) => void;
}

/** Why a logon came to nothing. */
export interface LogonRefusal {
  reason: AttemptReason;
  message: string;
  /** For the operator's log alone. */
  detail: string;
}

const hybrids = Protocol.hybrid | Protocol.hybridEx;
/** What user names of credentials begin with. Clients cut the name in their cookie off behind the ninth character. */
const userPrefix = 'lucid-';

/**
 * Whether this client is to log on: where it must, where it can do nothing else, and otherwise where nothing it said leads to a
 * session. An .rdp file with a token goes on as it always did, whatever its client could do besides.
 */
export function wantsLogon(
  { routing, negotiation }: X224ConnectionRequest,
  { policy, cookieRoute }: Pick<NlaSettings, 'policy' | 'cookieRoute'>,
): boolean {
  const offered = negotiation?.requestedProtocols ?? Protocol.rdp;
  if (policy === 'off' || (offered & hybrids) === 0) return false;
  if (policy === 'required' || (offered & Protocol.ssl) === 0 || routing === undefined) return true;
  if (routing.kind === 'msts') return false;
  return !cookieRoute || routing.kind !== 'mstshash' || routing.name.toLowerCase().startsWith(userPrefix);
}

export class ClientLogon {
  readonly #parts: LogonParts;
  /** Who it says it is, once it said so. */
  claimed: ClaimedAccount | null = null;
  /** Of CredSSP, the client's. */
  #version = 0;
  /** The session of the account, once that is known. */
  sessionId: string | null = null;
  #standing: LogonStanding | null = null;
  #isLimited = false;

  constructor(parts: LogonParts) {
    this.#parts = parts;
  }

  /** Who the client has proven to be. Rejects with `SequenceEnded` (then see `refusal`) or `ConnectFailure`. */
  async run(): Promise<ClaimedAccount & { version: number }> {
    const { front, client } = this.#parts;
    client.run(front.logOn(flagsForAny, (earlyAuthorization) => this.#server(earlyAuthorization)));
    const event = await client.next();
    if (event.kind !== 'account') throw new Error(`${event.kind} before the client said who it is`);
    this.claimed = event.claimed;
    this.#version = event.version;
    await this.#check(event.claimed);
    const proven = await client.next();
    if (proven.kind !== 'loggedOn') throw new Error(`${proven.kind} before the client had logged on`);
    return { ...proven.claimed, version: this.#version };
  }

  #server(earlyAuthorization: boolean): CredSspServer {
    const { publicKey, nla } = this.#parts;
    const { minimumVersion, name, platform } = nla;
    return new CredSspServer({ publicKey, name, earlyAuthorization, minimumVersion, platform });
  }

  async #check({ user }: ClaimedAccount): Promise<void> {
    const { client, front, nla, clientAddress } = this.#parts;
    this.#isLimited = !nla.limits.mayTry(clientAddress);
    // Told the same as somebody nobody knows, and as quickly; so is one that is burnt: that its name exists is nobody's to learn.
    const account = this.#isLimited ? null : await this.#account(user);
    this.sessionId = account?.sessionId ?? null;
    this.#standing = account?.standing ?? null;
    if (account?.standing === 'expired') client.run(front.account(account.ntHash, LogonStatus.accountExpired));
    else client.run(front.account(account?.ntHash ?? null));
    account?.ntHash?.fill(0);
    const outcome = outcomeOf(front);
    if (outcome === 'wrong') nla.limits.wentWrong(clientAddress);
    if (account !== null && account.standing !== 'burnt') this.#tell(user, outcome);
  }

  async #account(user: string): Promise<LogonAccount | null> {
    const { client, pipeline, connectionId } = this.#parts;
    const looking = pipeline.logonAccount({ connectionId, user });
    try {
      return (await client.during(reached(looking))).account;
    } catch (error) {
      // A try that is not one: nothing was compared.
      looking.then(
        ({ account }) => account !== null && this.#tell(user, 'left'),
        () => {},
      );
      throw error;
    }
  }

  /** Nobody waits for it: until it has arrived, the pipeline counts the try as one that may be wrong. */
  #tell(user: string, outcome: LogonOutcome): void {
    const { pipeline, connectionId, clientAddress, onProblem } = this.#parts;
    pipeline
      .logonTried({ connectionId, user, clientAddress, outcome })
      .catch((error: unknown) => onProblem(`the outcome of a logon could not be told: ${(error as Error).message}`));
  }

  /** Why it ended, where it did in the logon. */
  get refusal(): LogonRefusal | null {
    const ending = this.#parts.front.logonEnding;
    if (ending === null) return null;
    const [reason, message] = this.#why(ending);
    const workstation = this.claimed?.workstation ? ` of ${this.claimed.workstation}` : '';
    return { reason, message, detail: `logon by CredSSP ${this.#version}${workstation}` };
  }

  #why(ending: CredSspServerEnding): [AttemptReason, string] {
    if (ending === 'denied') return ['logon_expired', 'the credential is too old; issue a fresh one'];
    if (ending !== 'wrongPassword') return [...problems[ending]];
    if (this.#standing === 'burnt')
      return ['logon_burnt', 'the credential was tried with wrong secrets too often; issue a fresh one'];
    return this.#isLimited
      ? ['rate_limited', 'too many logons of this client address went wrong; the secret was not compared']
      : ['logon_failed', `wrong user name or secret (${this.claimed?.user || 'no user name'})`];
  }
}

const problems = {
  noNtlm: ['logon_failed', 'the client does no NTLMv2 with sealing'],
  versionTooOld: ['logon_failed', 'the client’s version of CredSSP is too old (RDP_NLA_MIN_VERSION)'],
  violation: ['protocol_violation', 'the client broke the rules of the logon, or broke it off'],
} as const satisfies Partial<Record<CredSspServerEnding, [AttemptReason, string]>>;

/** Of a comparison: whatever ends behind one that went right is no wrong try. */
function outcomeOf({ logonEnding }: Front): LogonOutcome {
  if (logonEnding === 'wrongPassword') return 'wrong';
  return logonEnding === 'violation' ? 'left' : 'proven';
}
