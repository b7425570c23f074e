import {
  formatAddCheckpoint,
  type NoteKey,
  type NoteSignature,
  parseCosignatures,
  parseSignedCheckpoint,
  parseTreeSize,
} from '@lucid-sessions/evidence';
import { readBounded } from '@lucid-sessions/node';
import type { Crypto } from '@lucid-sessions/wire';
import type { EmbeddedLog } from './embedded-log.ts';

/** A witness of C2SP tlog-witness: who it is, and the prefix of its submissions. */
export interface WitnessAddress {
  key: NoteKey;
  url: string;
}

export interface LogWitnessesOptions {
  log: Pick<EmbeddedLog, 'checkpoint' | 'witnessed' | 'proveConsistency' | 'attachCosignatures'>;
  crypto: Crypto;
  witnesses: readonly WitnessAddress[];
  /** Between looks at the log. */
  everyMs: number;
  /** What an operator should see. */
  onProblem: (message: string) => void;
  /** A witness remembers a longer or another log than ours: it was rolled back, or somebody else signs with its key. */
  onConflict: (witness: string, message: string) => void;
  /** After each round in which somebody was asked: how many know our log and cosigned it, how many know more or another. */
  onRound?: (outcome: { agreed: number; conflicts: number }) => void;
  fetch?: typeof fetch;
  random?: () => number;
  timeoutMs?: number;
}

const ANSWER_BYTES_MAX = 64 * 1024;
const backoffMaxMs = 300_000;

interface State {
  address: WitnessAddress;
  /** Size of the tree it is known to know. */
  size: number;
  failures: number;
  restUntilMs: number;
  conflicts: boolean;
}

class Conflict extends Error {}

/**
 * Has every checkpoint cosigned by witnesses, soon after it is published and beside everything else: nothing waits for a
 * witness. Entries that come while one is asked are covered by the next round.
 */
export class LogWitnesses {
  readonly #options: LogWitnessesOptions;
  readonly #states: State[];
  #timer: NodeJS.Timeout | null = null;
  #round: Promise<void> | null = null;
  readonly #stop = new AbortController();

  constructor(options: LogWitnessesOptions) {
    this.#options = options;
    this.#states = options.witnesses.map((address) => ({
      address,
      size: 0,
      failures: 0,
      restUntilMs: 0,
      conflicts: false,
    }));
  }

  start(): void {
    this.#timer ??= setInterval(() => {
      this.#round ??= this.round().finally(() => {
        this.#round = null;
      });
    }, this.#options.everyMs);
  }

  async dispose(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#stop.abort();
    await this.#round;
  }

  /** Asks the witnesses that have not seen the latest checkpoint and are not left alone for a while. */
  async round(): Promise<void> {
    const { checkpoint } = this.#options.log;
    if (checkpoint === null) return;
    const { size } = parseSignedCheckpoint(checkpoint);
    const nowMs = performance.now();
    const asked = this.#states.filter((state) => state.size < size && state.restUntilMs <= nowMs);
    const cosignatures = (await Promise.all(asked.map((state) => this.#ask(state, checkpoint, size)))).flat();
    if (asked.length > 0 && !this.#stop.signal.aborted) this.#options.onRound?.(this.#outcome(size));
    if (cosignatures.length === 0 || this.#stop.signal.aborted) return;
    await this.#options.log.attachCosignatures(
      this.#options.crypto,
      checkpoint,
      this.#withKept(checkpoint, cosignatures),
    );
  }

  /** Of every witness: whether it contradicts our log, and how many entries of it it is known to have cosigned. */
  get standing(): { witness: string; size: number; conflicts: boolean }[] {
    return this.#states.map(({ address, size, conflicts }) => ({ witness: address.key.name, size, conflicts }));
  }

  #outcome(size: number): { agreed: number; conflicts: number } {
    const conflicts = this.#states.filter((state) => state.conflicts).length;
    return { agreed: this.#states.filter((state) => !state.conflicts && state.size >= size).length, conflicts };
  }

  /** Cosignatures of the same checkpoint that came in an earlier round are kept. */
  #withKept(checkpoint: string, fresh: Cosignature[]): Cosignature[] {
    const { witnessed } = this.#options.log;
    const kept = witnessed.size === 0 ? null : parseSignedCheckpoint(witnessed.checkpoint).note;
    if (kept === null || kept.text !== parseSignedCheckpoint(checkpoint).note.text) return fresh;
    const others = this.#states
      .map(({ address }) => address.key)
      .filter((key) => !fresh.some(({ witness }) => witness === key))
      .flatMap((witness) =>
        kept.signatures.filter(({ name }) => name === witness.name).map((signature) => ({ witness, signature })),
      );
    return [...others, ...fresh];
  }

  async #ask(state: State, checkpoint: string, size: number): Promise<Cosignature[]> {
    const { key } = state.address;
    try {
      const signatures = await this.#cosign(state, checkpoint, size);
      Object.assign(state, { size, failures: 0, conflicts: false });
      return signatures.map((signature) => ({ witness: key, signature }));
    } catch (thrown) {
      if (this.#stop.signal.aborted) return [];
      const message = thrown instanceof Error ? thrown.message : String(thrown);
      const { random = Math.random, everyMs, onProblem, onConflict } = this.#options;
      state.conflicts ||= thrown instanceof Conflict;
      state.restUntilMs = performance.now() + random() * Math.min(backoffMaxMs, everyMs * 2 ** state.failures);
      // Once for a row of failures: a witness that is down for a day fills no log.
      if (thrown instanceof Conflict) onConflict(key.name, message);
      else if (state.failures === 0) onProblem(`the witness ${key.name} did not cosign: ${message}`);
      state.failures = Math.min(20, state.failures + 1);
      return [];
    }
  }

  /** Told the size it knows, it is asked once more from there: it may have seen our log before this process did. */
  async #cosign(state: State, checkpoint: string, size: number): Promise<NoteSignature[]> {
    for (let left = 1; ; left -= 1) {
      const answer = await this.#post(state, checkpoint, size);
      if (answer.status !== 409) return accepted(answer, state.address.key);
      const known = parseTreeSize(answer.text);
      if (known > size) throw new Conflict(`it knows a log of ${known} entries, ours has ${size}`);
      if (known === state.size) throw new Conflict(`it knows another log of ${known} entries than ours`);
      if (left === 0) throw new Error('it changes its mind about what it knows');
      state.size = known;
    }
  }

  async #post({ address, size: oldSize }: State, checkpoint: string, size: number): Promise<Answer> {
    const { fetch: send = fetch, log, timeoutMs = 10_000 } = this.#options;
    const proof = oldSize === 0 || oldSize === size ? [] : await log.proveConsistency(oldSize, size);
    const response = await send(`${address.url}/add-checkpoint`, {
      method: 'POST',
      body: formatAddCheckpoint(oldSize, proof, checkpoint),
      redirect: 'error',
      signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), this.#stop.signal]),
    });
    const body = await readBounded(response, ANSWER_BYTES_MAX);
    if (body === null) throw new Error('its answer is too large');
    return { status: response.status, text: body.toString() };
  }
}

interface Answer {
  status: number;
  text: string;
}

interface Cosignature {
  witness: NoteKey;
  signature: NoteSignature;
}

function accepted({ status, text }: Answer, key: NoteKey): NoteSignature[] {
  // 422: the consistency proof does not lead from the tree it knows to ours.
  if (status === 422) throw new Conflict('it says that our log does not extend the one it knows');
  if (status !== 200) throw new Error(`it answered ${status}`);
  const signatures = parseCosignatures(text, key);
  if (signatures.length === 0) throw new Error('it answered no cosignature of its key');
  return signatures;
}
