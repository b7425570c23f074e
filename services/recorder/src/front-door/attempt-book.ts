/**
 * Connections that became nothing, on their way to log and audit: the first of a kind at once, those that follow it within a
 * minute together. A flood of them leaves a line a minute, not a line each.
 */
import type { ConnectionAttempt } from '@lucid-sessions/contract';
import { clientGroup, ipOf } from './door-limits.ts';
import type { ProbeKind } from './ready-connection.ts';

export interface AttemptBookOptions {
  /** Delivers it to the pipeline, sooner or later. */
  tell: (attempt: ConnectionAttempt) => void;
  newId: () => string;
  wallUs: () => number;
  log: (line: string) => void;
}

export type DoorCounter =
  | `probes_${ProbeKind}`
  | 'connectionsRefused'
  | 'connectionsOverLimit'
  | 'targetsFailed'
  | 'clientsLeft';

interface Page {
  last: ConnectionAttempt;
  more: number;
}

/** Kinds of one minute; what comes beyond is told together. */
const pagesMax = 1000;

/** For a log line: no line breaks, nothing that steers a terminal or turns text around, not endless. */
export const printable = (text: string): string => text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, '?').slice(0, 500);

export class AttemptBook {
  readonly #options: AttemptBookOptions;
  readonly #counts = new Map<DoorCounter, number>();
  #pages = new Map<string, Page>();
  #probes = new Map<ProbeKind, { count: number; groups: Set<string> }>();

  constructor(options: AttemptBookOptions) {
    this.#options = options;
  }

  /** Since the start. */
  get counts(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }

  /** Came no further and asked for nothing: counted, nothing more. */
  probe(kind: ProbeKind, clientAddress: string): void {
    this.#count(`probes_${kind}`);
    const known = this.#probes.get(kind) ?? { count: 0, groups: new Set<string>() };
    known.count += 1;
    if (known.groups.size < pagesMax) known.groups.add(clientGroup(ipOf(clientAddress)));
    this.#probes.set(kind, known);
  }

  /** Over a limit, closed without a word. */
  overLimit(clientAddress: string): void {
    this.#count('connectionsOverLimit');
    const message = 'too many connections from this address; they were closed';
    this.#write(
      {
        connectionId: this.#options.newId(),
        sessionId: null,
        atUs: this.#options.wallUs(),
        clientAddress,
        clientName: null,
        outcome: 'refused',
        reason: 'rate_limited',
        message,
        count: 1,
      },
      '',
    );
  }

  /** `count` 0: a probe that must only be let go. */
  attempt(attempt: ConnectionAttempt, detail: string): void {
    if (attempt.count === 0) {
      this.#options.tell(attempt);
      return;
    }
    this.#count(counterOf[attempt.outcome]);
    this.#write(attempt, detail);
  }

  /** Once a minute: what came behind the first of each kind. */
  turnPage(): void {
    for (const { last, more } of this.#pages.values())
      if (more > 0) {
        this.#say(last, `${more} more in a minute`);
        this.#options.tell({ ...last, connectionId: this.#options.newId(), count: more });
      }
    this.#pages = new Map();
    const probes = [...this.#probes].map(([kind, { count, groups }]) => `${count} ${kind} from ${groups.size}`);
    if (probes.length > 0) this.#options.log(`probes in a minute, by addresses: ${probes.join(', ')}`);
    this.#probes = new Map();
  }

  #count(counter: DoorCounter): void {
    this.#counts.set(counter, (this.#counts.get(counter) ?? 0) + 1);
  }

  #write(attempt: ConnectionAttempt, detail: string): void {
    const { outcome, reason, clientAddress } = attempt;
    const group = this.#pages.size < pagesMax ? clientGroup(ipOf(clientAddress)) : 'others';
    const key = `${group} ${outcome} ${reason}`;
    const page = this.#pages.get(key);
    if (page !== undefined) {
      page.last = attempt;
      page.more += 1;
      // It is told later, under another id; what was reserved for it is let go now.
      if (attempt.sessionId !== null) this.#options.tell({ ...attempt, count: 0 });
      return;
    }
    this.#pages.set(key, { last: attempt, more: 0 });
    this.#say(attempt, detail);
    this.#options.tell(attempt);
  }

  #say({ clientAddress, clientName, sessionId, outcome, message }: ConnectionAttempt, detail: string): void {
    const who = clientName === null ? clientAddress : `${clientAddress} (${printable(clientName)})`;
    const session = sessionId === null ? '' : ` session ${sessionId}:`;
    const more = detail === '' ? '' : ` [${printable(detail)}]`;
    this.#options.log(`${sayings[outcome]} ${who}:${session} ${printable(message)}${more}`);
  }
}

const counterOf = {
  refused: 'connectionsRefused',
  target_failed: 'targetsFailed',
  client_left: 'clientsLeft',
} as const satisfies Record<ConnectionAttempt['outcome'], DoorCounter>;

const sayings = {
  refused: 'refused',
  target_failed: 'no target for',
  client_left: 'left:',
} as const satisfies Record<ConnectionAttempt['outcome'], string>;
