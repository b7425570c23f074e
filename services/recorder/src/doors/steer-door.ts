/**
 * The door for whoever wants to steer a running session: a WebSocket with lines of JSON. In: `{"token"}` once, then `{"input": [events]}`,
 * events as fast-path input has them. Out: `{"state", "message"}`. Leaving is closing.
 */
import { type DoorVisit, type Pace, TokenBucket } from '@lucid-sessions/kit';
import type { FastPathInputEvent } from '@lucid-sessions/rdp';
import type { JoinerLink } from '../front-door/steering.ts';
import { acceptWebSocket } from './web-socket.ts';
import type { WebSocketStream } from './web-socket-stream.ts';

/** What has been let in, for as long as its connection is there. */
export interface Joined {
  input: (events: readonly FastPathInputEvent[]) => void;
  left: () => void;
}

/** Null: the token leads nowhere. What is wrong with a session that is there is told by the link. */
export type LetIn = (token: string, link: JoinerLink) => Joined | null;

/** A token, and what frames cost. */
const earlyBytesMax = 4096;
const lineBytesMax = 4096;
const eventsPerLineMax = 32;
const helloMs = 10_000;
/** Somebody types and moves a mouse. */
const pace: Pace = { burst: 500, perSecond: 250 };

export const steerDoor =
  (letIn: LetIn, monotonicUs: () => number) =>
  (visit: DoorVisit): void => {
    const accepted = acceptWebSocket(visit, { earlyBytesMax });
    if (accepted !== null) new JoinerConnection(accepted.stream, accepted.letIn, letIn, monotonicUs).serve();
  };

class JoinerConnection {
  readonly #stream: WebSocketStream;
  readonly #unbound: () => void;
  readonly #letIn: LetIn;
  readonly #monotonicUs: () => number;
  readonly #bucket: TokenBucket;
  readonly #timer: NodeJS.Timeout;
  #line = '';
  #joined: Joined | null = null;

  constructor(stream: WebSocketStream, unbound: () => void, letIn: LetIn, monotonicUs: () => number) {
    this.#stream = stream;
    this.#unbound = unbound;
    this.#letIn = letIn;
    this.#monotonicUs = monotonicUs;
    this.#bucket = new TokenBucket(pace, monotonicUs());
    this.#timer = setTimeout(() => this.#refuse('no token came in time'), helloMs);
  }

  serve(): void {
    this.#stream.setEncoding('utf8');
    this.#stream.on('error', () => {}).on('data', (text: string) => this.#take(text));
    this.#stream.once('end', () => this.#stream.end()).once('close', () => this.#over());
  }

  #take(text: string): void {
    const lines = (this.#line + text).split('\n');
    this.#line = lines.pop()!;
    if (this.#line.length > lineBytesMax || lines.some((line) => line.length > lineBytesMax)) {
      this.#refuse('a line is too long');
      return;
    }
    for (const line of lines) if (!this.#stream.destroyed && !this.#stream.writableEnded) this.#said(line);
  }

  #said(line: string): void {
    const message = parsed(line);
    if (this.#joined === null) this.#hello(message);
    else if (!Array.isArray(message.input)) this.#refuse('this is no input');
    else this.#input(this.#joined, message.input);
  }

  #hello({ token }: Record<string, unknown>): void {
    clearTimeout(this.#timer);
    const link: JoinerLink = {
      tell: (state, message) => this.#tell(state, message),
      end: () => void this.#stream.end(),
    };
    // Told from within the call where it is refused at once.
    this.#joined = typeof token === 'string' ? this.#letIn(token, link) : null;
    if (this.#joined === null) this.#refuse('this token leads nowhere (any more)');
    else this.#unbound();
  }

  #input({ input }: Joined, said: unknown[]): void {
    const events = said.flatMap((one) => eventOf(one) ?? []);
    if (events.length !== said.length || events.length > eventsPerLineMax) this.#refuse('this is no input');
    else if (!events.every(() => this.#bucket.take(this.#monotonicUs()))) this.#refuse('too much input');
    else if (events.length > 0) input(events);
  }

  #tell(state: string, message: string): void {
    if (!this.#stream.writableEnded) this.#stream.write(`${JSON.stringify({ state, message })}\n`);
  }

  #refuse(message: string): void {
    this.#tell('refused', message);
    this.#stream.end();
    this.#over();
  }

  #over(): void {
    clearTimeout(this.#timer);
    this.#joined?.left();
  }
}

function parsed(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

const within = (value: unknown, max: number): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max;

/** Null: it is none that somebody could make by keys and mouse. */
function eventOf(value: unknown): FastPathInputEvent | null {
  const { kind, flags = 0, keyCode, unicodeCode, pointerFlags, x, y } = (value ?? {}) as Record<string, unknown>;
  if (!within(flags, 7)) return null;
  if (kind === 'scancode' && within(keyCode, 0xff)) return { kind, flags, keyCode };
  if (kind === 'unicode' && within(unicodeCode, 0xffff)) return { kind, flags: flags & 1, unicodeCode };
  if (kind === 'mouse' && within(pointerFlags, 0xffff) && within(x, 0xffff) && within(y, 0xffff))
    return { kind, flags: 0, pointerFlags, x, y };
  return null;
}
