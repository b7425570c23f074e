/**
 * The held way: the client is brought up to its Client Info first, as a server of our own would, because what it says there is
 * needed to get into the target. Then the target is told what the client said, and ids are mapped between the two.
 */
import { createHash } from 'node:crypto';
import { TLSSocket } from 'node:tls';
import type { SessionTicket, TargetCredentials } from '@lucid-sessions/contract';
import { type ClientInfo, ErrorInfo } from '@lucid-sessions/rdp';
import type { DialogAnswer, DialogSpec } from '@lucid-sessions/screens';
import { SocketPeer } from '../peer/socket-peer.ts';
import { ConnectFailure } from './failure.ts';
import { graceMs, type HeldClient } from './held-client.ts';
import { injectedCredentials, noteUntrusted } from './injected.ts';
import type { Arrival, Joined, Joining } from './joining.ts';
import { referenceOf, refusalText } from './refusal-words.ts';
import { reached } from './refusals.ts';
import { approvalDialog, connectingDialog, consentDialog, logonDialog } from './screen-dialogs.ts';
import { helloFrames } from './straight-joining.ts';
import { tlsName } from './tls-settings.ts';
import { WayToTarget } from './way-to-target.ts';

/** Where the client's own credentials are the target's, or its user has to be shown something before. */
export const isHeld = (ticket: SessionTicket): boolean => ticket.credentials === 'client' || hasScreens(ticket);

/** There is something to show before it begins. */
export const hasScreens = ({ consentText, approval }: SessionTicket): boolean =>
  consentText !== undefined || approval === true;

/**
 * A client that logged on to the gateway has nothing of use to say to a target that wants a logon as well, and nowhere else to type
 * it: its user is asked where the session brings no credentials.
 */
export const asksItsUser = (
  { hasLoggedOn }: Pick<HeldArrival, 'hasLoggedOn'>,
  { credentials }: SessionTicket,
  error: unknown,
): boolean =>
  hasLoggedOn &&
  credentials === 'none' &&
  error instanceof ConnectFailure &&
  error.reason === 'target_credentials_missing';

/** For a person to read, think and type, each time and in all: what `find` reserved lasts eleven minutes. */
const answerMsMax = 300_000;
const answersMsMax = 540_000;
const askEveryMs = 1000;
/** Accounts are locked after a few wrong passwords. */
const logonTriesMax = 3;

const refused = (reason: 'consent_refused' | 'logon_cancelled' | 'approval_refused', message: string): ConnectFailure =>
  new ConnectFailure(reason, ErrorInfo.serverDeniedConnection.code, message);

/** A client at any door. */
export type HeldArrival = Pick<Arrival, 'connectionId' | 'context' | 'asked' | 'untilMs' | 'facts'> & {
  /** By a credential of the gateway's: what its Client Info says is not for the target. */
  readonly hasLoggedOn: boolean;
  readonly front: { readonly confirm: Uint8Array };
  readonly isBrowser?: boolean;
};

export class HeldJoining implements Joining {
  readonly #arrival: HeldArrival;
  readonly #take: () => Promise<HeldClient>;
  readonly #way: WayToTarget;
  readonly #answersUntilMs = performance.now() + answersMsMax;
  #client: HeldClient | null = null;
  /** What is put into Client Info in the client's place. */
  #credentials: TargetCredentials | null = null;

  /** `take` brings the client to where it is held. */
  constructor(arrival: HeldArrival, take: () => Promise<HeldClient>) {
    this.#arrival = arrival;
    this.#take = take;
    this.#way = new WayToTarget(arrival);
  }

  async begin(ticket: SessionTicket): Promise<void> {
    const client = await this.#take();
    this.#client = client;
    const info = await client.clientInfo();
    if (ticket.consentText !== undefined) await this.#consent(client, ticket.consentText, info);
    if (ticket.approval === true) await this.#approval(client, info);
    const used = await this.#logOn(client, ticket, info);
    // In restricted admin mode the target gets no password, not the one in the client's Client Info either.
    if (ticket.target.restrictedAdmin === true) this.#credentials ??= used;
    if (this.#credentials !== null) noteUntrusted(this.#arrival.facts, this.#arrival.context.wallUs());
  }

  async #consent(client: HeldClient, text: string, info: ClientInfo): Promise<void> {
    const answer = await this.#ask(client, consentDialog(text, this.#footer));
    if (answer?.button !== 'accept')
      throw refused('consent_refused', answer === null ? 'nobody acknowledged the text' : 'its user declined the text');
    const textSha256 = createHash('sha256').update(text).digest('hex');
    const { facts, context } = this.#arrival;
    facts.push({ kind: 'consent', atUs: context.wallUs(), textSha256, user: nameOf(info).slice(0, 200) });
  }

  /** Asked for every second: a decision is made by a person, elsewhere. */
  async #approval(client: HeldClient, info: ClientInfo): Promise<void> {
    const { connectionId, context, facts } = this.#arrival;
    client.show(approvalDialog(this.#footer));
    const untilMs = Math.min(performance.now() + answerMsMax, this.#answersUntilMs);
    client.limit(untilMs - performance.now() + graceMs, 'nobody let it in');
    const user = nameOf(info).slice(0, 200);
    while (performance.now() < untilMs) {
      const asked = await client.during(reached(context.pipeline.approval({ connectionId, user })));
      if (asked.state === 'refused') throw refused('approval_refused', `${asked.by} said: ${asked.reason}`);
      if (asked.state === 'approved') {
        facts.push({ kind: 'approval', atUs: context.wallUs(), by: asked.by, reason: asked.reason });
        return;
      }
      if ((await client.answer(askEveryMs)) !== null) throw refused('approval_refused', 'its user did not wait');
    }
    throw refused('approval_refused', 'Nobody decided in time.');
  }

  /** What the target was given, where it wanted any. */
  async #logOn(client: HeldClient, ticket: SessionTicket, info: ClientInfo): Promise<TargetCredentials | null> {
    if (ticket.credentials === 'client') return this.#logOnAsClient(client, ticket, info);
    this.#credentials = await client.during(injectedCredentials(this.#arrival, ticket));
    const credentials = this.#credentials ?? this.#ownOf(info);
    try {
      await this.#dial(client, ticket, credentials);
      return credentials;
    } catch (error) {
      if (!asksItsUser(this.#arrival, ticket, error)) throw error;
      return this.#logOnAsClient(client, ticket, info);
    }
  }

  /** With what the client sent, or its user types here; what the target will not have can be mended, a few times. */
  async #logOnAsClient(client: HeldClient, ticket: SessionTicket, info: ClientInfo): Promise<TargetCredentials> {
    let credentials = this.#ownOf(info);
    let problem = '';
    for (let tries = 1; ; tries += 1) {
      if (credentials === null) {
        credentials = await this.#askCredentials(client, info, problem, tries);
        this.#credentials = credentials;
      }
      try {
        await this.#dial(client, ticket, credentials);
        return credentials;
      } catch (error) {
        const isMendable = error instanceof ConnectFailure && mendable.has(error.reason);
        if (!isMendable || tries >= logonTriesMax) throw error;
        problem = `${refusalText(error.reason)} Try ${tries + 1} of ${logonTriesMax}.`;
        credentials = null;
      }
    }
  }

  async #askCredentials(
    client: HeldClient,
    info: ClientInfo,
    problem: string,
    tries: number,
  ): Promise<TargetCredentials> {
    const said = this.#arrival.hasLoggedOn ? { userName: '', domain: '' } : info;
    const known =
      this.#credentials === null ? said : { userName: this.#credentials.username, domain: this.#credentials.domain };
    const answer = await this.#ask(client, logonDialog(known, problem, tries, this.#footer));
    if (answer?.button !== 'signIn')
      throw refused('logon_cancelled', answer === null ? 'nobody signed in' : 'its user left the form for credentials');
    const { userName = '', domain = '', password = '' } = answer.values;
    if (userName !== '') return { ...splitName(userName, domain), password };
    return this.#askCredentials(client, { ...info, domain }, 'Give your user name.', tries);
  }

  #ownOf(info: ClientInfo): TargetCredentials | null {
    return this.#arrival.hasLoggedOn ? null : credentialsOf(info);
  }

  /** Null: nobody answered. */
  #ask(client: HeldClient, dialog: DialogSpec): Promise<DialogAnswer | null> {
    return client.ask(dialog, Math.max(1, Math.min(answerMsMax, this.#answersUntilMs - performance.now())));
  }

  async #dial(client: HeldClient, ticket: SessionTicket, credentials: TargetCredentials | null): Promise<void> {
    const { handshakeMs } = this.#arrival.context;
    if (client.isShown) client.show(connectingDialog(this.#footer));
    client.limit(handshakeMs, 'the target did not answer in time');
    await this.#way.dial(ticket, client, credentials, { untilMs: performance.now() + handshakeMs });
  }

  get #footer(): string {
    return referenceOf(this.#arrival.connectionId);
  }

  checkAlive(ticket: SessionTicket): void {
    this.#held.checkAlive();
    this.#way.checkAlive(ticket);
  }

  release(request: Uint8Array): Joined {
    const { stream, splice } = this.#held.release();
    const { hello, address, socket: targetSocket } = this.#way.release();
    for (const each of [stream, targetSocket]) this.#arrival.context.watch(each);
    return {
      client: new SocketPeer(stream),
      target: new SocketPeer(targetSocket),
      splice,
      targetAddress: address,
      credentials: this.#credentials,
      beforeTls: helloFrames(request, hello, this.#arrival.front.confirm),
      selectedProtocol: hello.selectedProtocol,
      clientTls: stream instanceof TLSSocket ? tlsName(stream) : '',
      ...(this.#arrival.isBrowser ? { isBrowser: true } : {}),
    };
  }

  get heldClient(): HeldClient | null {
    return this.#client;
  }

  abandon(): void {
    this.#way.abandon();
  }

  get #held(): HeldClient {
    if (this.#client === null) throw new Error('the client is not held');
    return this.#client;
  }
}

/** Null where the client names nobody or has no password: a target that wants to know is refused then. */
function credentialsOf({ userName: username, domain, password }: ClientInfo): TargetCredentials | null {
  return username === '' || password === '' ? null : { username, domain, password };
}

/** Who its client says its user is. */
const nameOf = ({ userName, domain }: ClientInfo): string => (domain === '' ? userName : `${domain}\\${userName}`);

/** People write DOMAIN\\user, too. */
function splitName(userName: string, domain: string): { username: string; domain: string } {
  const [, before, behind] = /^([^\\]+)\\(.+)$/.exec(userName) ?? [];
  return domain === '' && before !== undefined && behind !== undefined
    ? { username: behind, domain: before }
    : { username: userName, domain };
}

/** What other credentials may help with. */
const mendable: ReadonlySet<string> = new Set([
  'target_logon_failed',
  'target_credentials_missing',
  'target_password_expired',
  'target_account_disabled',
  'target_account_expired',
  'target_logon_denied',
]);
