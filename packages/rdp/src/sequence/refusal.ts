import { DecodeError } from '@lucid-sessions/wire';
import { Acceptor } from './acceptor.ts';

/** All that a client may say while it is being told no; its answers grow with what it says. */
const bytesMax = 256 * 1024;

/** Tells a client no in a way its user gets to read: the connection sequence is finished, and ends with Set Error Info. */
export class Refusal {
  readonly #acceptor: Acceptor;
  #takenBytes = 0;

  /** For a client whose MCS Connect Initial comes next. */
  constructor(errorInfo: number, selectedProtocol: number, requestedProtocols: number) {
    const begin = { at: 'connectInitial', selectedProtocol, requestedProtocols } as const;
    this.#acceptor = new Acceptor({ protocols: selectedProtocol, begin });
    this.#acceptor.refuse(errorInfo);
  }

  /** `ended`: it has been told, or left before. Throws `DecodeError`. */
  step(input: Uint8Array): { output: Uint8Array; ended: 'refused' | 'left' | null } {
    this.#takenBytes += input.length;
    if (this.#takenBytes > bytesMax) throw new DecodeError('limit', 'the client does not listen');
    const { output, events } = this.#acceptor.step(input);
    const ended = events.find((event) => event.kind === 'ended');
    return { output, ended: ended === undefined ? null : ended.reason === 'refused' ? 'refused' : 'left' };
  }
}
