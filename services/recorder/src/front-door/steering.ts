/**
 * Somebody who wants to work in a running session in its user's place: asks them, by a strip over their desktop, and passes on what
 * the other does once they agree. The user works on meanwhile, comes first, and takes the session back whenever they like.
 */
import type { JoinPolicy, RecordingFact, SteeringConsent } from '@lucid-sessions/contract';
import { type FastPathInputEvent, FastPathKeyFlag, PointerFlag } from '@lucid-sessions/rdp';
import type { GatewayNote } from '@lucid-sessions/recording';
import type { InputWatch } from '@lucid-sessions/relay';
import { Hotkeys, hotkeyNames } from './hotkeys.ts';

export type JoinState = 'asking' | 'steering' | 'held' | 'refused' | 'ended';

/** The other end of whoever steers. */
export interface JoinerLink {
  tell: (state: JoinState, message: string) => void;
  /** Nothing more is told. */
  end: () => void;
}

export interface SteeringOptions {
  by: string;
  policy: Exclude<JoinPolicy, 'off'>;
  link: JoinerLink;
  /** Shows the user a strip; false where nothing can be painted. */
  show: (title: string, text: string, seconds: number) => boolean;
  hide: () => void;
  watch: (watch: InputWatch | null) => void;
  input: (events: readonly FastPathInputEvent[]) => void;
  note: (note: GatewayNote) => void;
  fact: (fact: RecordingFact) => void;
  wallUs: () => number;
  /** µs, monotonic. */
  monotonicUs: () => number;
  onOver: () => void;
}

type Phase =
  | { kind: 'asking'; fromUs: number; timer: NodeJS.Timeout }
  | { kind: 'steering'; fromUs: number; consent: SteeringConsent }
  | { kind: 'over' };

/** For the user to read and answer. */
const askSeconds = 60;
const toldSeconds = 20;
/** So long after the user's own key or click nothing of the other's passes. */
const userFirstUs = 1_000_000;

/** Why nobody can be asked, for whoever wanted to ask. */
const unaskable =
  'its user can not be asked: the session has no desktop yet, or its graphics pipeline draws the desktop and is not read (RDP_GRAPHICS_NOTICES, leave_in; graphics classic does without it, join unasked does not ask)';

export class Steering {
  readonly #options: SteeringOptions;
  readonly #hotkeys = new Hotkeys();
  /** What the other holds down: released when it is over. */
  readonly #down = new Map<string, FastPathInputEvent>();
  #phase: Phase = { kind: 'over' };
  #userUs = Number.NEGATIVE_INFINITY;
  #isHeld = false;

  constructor(options: SteeringOptions) {
    this.#options = options;
  }

  begin(): void {
    const { policy, by, show, wallUs, watch, note, link } = this.#options;
    note({ type: 'steering', state: 'asked', by, reason: '' });
    this.#phase = {
      kind: 'asking',
      fromUs: wallUs(),
      timer: setTimeout(() => this.#refuse('nobody answered'), askSeconds * 1000),
    };
    watch((events) => this.#seen(events));
    if (policy === 'unasked') {
      this.#steer('policy');
      return;
    }
    const text = `They see your desktop and would use its keyboard and mouse. To agree press ${hotkeyNames.agree}. To refuse, and to take the session back at any time, press ${hotkeyNames.refuse}. Without an answer within ${askSeconds} seconds nothing happens.`;
    if (show(`${by} asks to take over this session`, text, askSeconds)) link.tell('asking', '');
    else this.#refuse(unaskable);
  }

  /** What the other does; passed on while they steer and the user does nothing. */
  input(events: readonly FastPathInputEvent[]): void {
    if (this.#phase.kind !== 'steering') return;
    const isHeld = this.#options.monotonicUs() - this.#userUs < userFirstUs;
    // What is down must come up.
    const passing = isHeld ? events.filter((event) => this.#releases(event)) : events;
    for (const event of passing) this.#follow(event);
    if (passing.length > 0) this.#options.input(passing);
    if (isHeld === this.#isHeld) return;
    this.#isHeld = isHeld;
    this.#options.link.tell(isHeld ? 'held' : 'steering', '');
  }

  /** The other's end is gone, or the session's. */
  end(reason: string): void {
    if (this.#phase.kind === 'asking') this.#refuse(reason);
    else if (this.#phase.kind === 'steering') this.#stop(this.#phase, reason);
  }

  #seen(events: readonly FastPathInputEvent[]): readonly FastPathInputEvent[] {
    const { passing, pressed } = this.#hotkeys.see(events);
    for (const hotkey of pressed) {
      if (hotkey === 'refuse') this.end(this.#phase.kind === 'asking' ? 'its user refused' : 'its user took it back');
      else if (this.#phase.kind === 'asking') this.#steer('user');
    }
    if (pressed.length === 0 && passing.some(isDeed)) this.#userUs = this.#options.monotonicUs();
    if (this.#phase.kind === 'over') this.#unwatch();
    return passing;
  }

  /** Not before the keys of the combination are up. */
  #unwatch(): void {
    if (this.#hotkeys.isIdle) this.#options.watch(null);
  }

  #steer(consent: 'user' | 'policy'): void {
    if (this.#phase.kind !== 'asking') return;
    const { by, show, link, note, fact } = this.#options;
    const { fromUs, timer } = this.#phase;
    clearTimeout(timer);
    this.#phase = { kind: 'steering', fromUs, consent };
    // The combination itself took nothing from the other.
    this.#userUs = Number.NEGATIVE_INFINITY;
    note({ type: 'steering', state: 'began', by, reason: '' });
    fact({ kind: 'steering', fromUs, toUs: null, by, consent, end: '' });
    show(`${by} steers this session now`, `To take it back press ${hotkeyNames.refuse}.`, toldSeconds);
    link.tell('steering', '');
  }

  #refuse(reason: string): void {
    if (this.#phase.kind !== 'asking') return;
    const { by, note, fact, wallUs } = this.#options;
    const { fromUs, timer } = this.#phase;
    clearTimeout(timer);
    note({ type: 'steering', state: 'refused', by, reason });
    fact({ kind: 'steering', fromUs, toUs: wallUs(), by, consent: 'none', end: reason });
    this.#over('refused', reason);
  }

  #stop({ fromUs, consent }: Extract<Phase, { kind: 'steering' }>, reason: string): void {
    const { by, input, note, fact, wallUs } = this.#options;
    const released = [...this.#down.values()];
    this.#down.clear();
    if (released.length > 0) input(released);
    note({ type: 'steering', state: 'ended', by, reason });
    fact({ kind: 'steering', fromUs, toUs: wallUs(), by, consent, end: reason });
    this.#over('ended', reason);
  }

  #over(state: 'refused' | 'ended', reason: string): void {
    const { hide, link, onOver } = this.#options;
    this.#phase = { kind: 'over' };
    hide();
    this.#unwatch();
    link.tell(state, reason);
    link.end();
    onOver();
  }

  #releases(event: FastPathInputEvent): boolean {
    return this.#down.has(nameOf(event)) && isRelease(event);
  }

  #follow(event: FastPathInputEvent): void {
    const name = nameOf(event);
    if (name === '') return;
    const release = isRelease(event) ? null : releaseOf(event);
    if (release === null) this.#down.delete(name);
    else this.#down.set(name, release);
  }
}

const buttons = PointerFlag.button1 | PointerFlag.button2 | PointerFlag.button3;

/** Of a key or button that can be down; empty for what can't. */
function nameOf(event: FastPathInputEvent): string {
  if (event.kind === 'scancode') return `key ${event.keyCode} ${event.flags & ~FastPathKeyFlag.release}`;
  if (event.kind === 'unicode') return `unicode ${event.unicodeCode}`;
  if (event.kind === 'mouse')
    return (event.pointerFlags & buttons) === 0 ? '' : `button ${event.pointerFlags & buttons}`;
  return '';
}

const isRelease = (event: FastPathInputEvent): boolean =>
  event.kind === 'mouse'
    ? (event.pointerFlags & PointerFlag.down) === 0
    : (event.flags & FastPathKeyFlag.release) !== 0;

const releaseOf = (event: FastPathInputEvent): FastPathInputEvent =>
  event.kind === 'mouse'
    ? { ...event, pointerFlags: event.pointerFlags & ~PointerFlag.down }
    : { ...event, flags: event.flags | FastPathKeyFlag.release };

/** Something pressed, or a wheel: who only moves the mouse does not want it back. */
const isDeed = (event: FastPathInputEvent): boolean =>
  ((event.kind === 'scancode' || event.kind === 'unicode') && !isRelease(event)) ||
  event.kind === 'mousex' ||
  (event.kind === 'mouse' && (event.pointerFlags & (buttons | PointerFlag.wheel | PointerFlag.hwheel)) !== 0);
