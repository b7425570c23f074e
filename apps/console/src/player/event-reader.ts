import {
  FastPathKeyFlag,
  fastPathInput,
  KeyboardFlag,
  mcsPdu,
  PduType,
  PduType2,
  PointerFlag,
  readShareControlPdus,
  shareDataPdu,
  slowPathInput,
  tpkt,
  x224Data,
} from '@lucid-sessions/rdp';
import { decodeNote, type Frame, frameFlags, frameKinds, type GatewayNote } from '@lucid-sessions/recording';
import { DecodeError, decode, Reader } from '@lucid-sessions/wire';
import { type KeyName, keyName, modifierNames } from './key-names.ts';
import type { PlayerEvent } from './protocol.ts';

/** Typing that pauses longer than this begins a new entry. */
const typingPauseUs = 2_000_000;
const typingCharactersMax = 120;

/** A key or button as both input paths tell it. */
type Input =
  | { kind: 'key'; key: KeyName; down: boolean }
  | { kind: 'text'; text: string }
  | { kind: 'click'; button: string; x: number; y: number };

/**
 * Makes a readable list out of recorded input and notes: characters typed in one go become one entry, keys that type nothing are
 * named, mouse buttons say where. Frames come in order; `finish` gives what is still being typed.
 */
export class EventReader {
  #shift = false;
  #capsLock = false;
  readonly #held = new Set<string>();
  #typing: { timeUs: number; lastUs: number; text: string } | null = null;
  #out: PlayerEvent[] = [];

  push(frame: Frame): void {
    const { timeUs } = frame;
    if (frame.kind === frameKinds.note) {
      this.#note(timeUs, frame.body);
      return;
    }
    const skipped = frameFlags.serverToClient | frameFlags.beforeTls | frameFlags.inputs;
    if ((frame.flags & skipped) !== 0) return;
    for (const input of readInput(frame)) this.#input(timeUs, input);
  }

  /** Entries finished since the last call; typing that goes on stays back until it pauses. */
  take(nowUs: number): PlayerEvent[] {
    if (this.#typing && nowUs - this.#typing.lastUs > typingPauseUs) this.#endTyping();
    const taken = this.#out;
    this.#out = [];
    return taken;
  }

  finish(): PlayerEvent[] {
    this.#endTyping();
    return this.take(Number.POSITIVE_INFINITY);
  }

  #input(timeUs: number, input: Input): void {
    switch (input.kind) {
      case 'text':
        this.#type(timeUs, input.text);
        return;
      case 'key':
        this.#key(timeUs, input.key, input.down);
        return;
      case 'click':
        this.#endTyping();
        this.#out.push({ timeUs, kind: 'pointer', text: `${input.button} at ${input.x}, ${input.y}` });
    }
  }

  #key(timeUs: number, key: KeyName, down: boolean): void {
    if (modifierNames.has(key.name)) {
      if (key.name === 'Caps Lock' && down) this.#capsLock = !this.#capsLock;
      if (key.name === 'Shift') this.#shift = down;
      else if (down) this.#held.add(key.name);
      else this.#held.delete(key.name);
      return;
    }
    if (!down) return;
    const combined = [...this.#held].filter((name) => name !== 'Caps Lock' && name !== 'AltGr');
    if (combined.length > 0) {
      this.#endTyping();
      const parts = [...combined, ...(this.#shift ? ['Shift'] : []), key.name];
      this.#out.push({ timeUs, kind: 'keys', text: parts.join('+') });
      return;
    }
    if (key.plain !== undefined && key.shifted !== undefined) {
      const letter = /^[a-z]$/.test(key.plain);
      const shifted = letter ? this.#shift !== this.#capsLock : this.#shift;
      this.#type(timeUs, shifted ? key.shifted : key.plain);
    } else if (key.name.length === 1) {
      this.#type(timeUs, key.name);
      if (key.name === '⏎') this.#endTyping();
    } else {
      this.#type(timeUs, `[${key.name}]`);
    }
  }

  #type(timeUs: number, text: string): void {
    const typing = this.#typing;
    if (typing && (timeUs - typing.lastUs > typingPauseUs || typing.text.length + text.length > typingCharactersMax))
      this.#endTyping();
    this.#typing ??= { timeUs, lastUs: timeUs, text: '' };
    this.#typing.text += text;
    this.#typing.lastUs = timeUs;
  }

  #endTyping(): void {
    if (this.#typing) this.#out.push({ timeUs: this.#typing.timeUs, kind: 'keys', text: this.#typing.text });
    this.#typing = null;
  }

  #note(timeUs: number, body: Uint8Array): void {
    try {
      this.#out.push({ timeUs, kind: 'note', text: noteText(decodeNote(body)) });
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#out.push({ timeUs, kind: 'note', text: 'a note of the gateway that this version can’t read' });
    }
  }
}

/** A note as a sentence. */
export function noteText(note: GatewayNote): string {
  switch (note.type) {
    case 'connected':
      return `connected from ${note.clientAddress} to ${note.targetAddress}`;
    case 'client':
      return `client ${note.clientName || 'without a name'}, ${note.desktopWidth} × ${note.desktopHeight}, ${note.security}`;
    case 'target_certificate':
      return `target’s certificate ${note.valid ? 'valid' : 'not valid'} (${note.check.replaceAll('_', ' ')})${note.problem ? `: ${note.problem}` : ''}`;
    case 'downgrade':
      return `downgrade: ${note.what}`;
    case 'pause':
      return 'recording paused';
    case 'resume':
      return 'recording goes on';
    case 'gap':
      return `gap: ${note.reason}, ${note.framesLost} frames lost`;
    case 'clock_step':
      return `the clock was set by ${(note.stepUs / 1e6).toFixed(3)} s`;
    case 'ended':
      return `ended: ${note.message || note.reason.replaceAll('_', ' ')}`;
  }
}

/** The input of one client frame; frames that hold none, or that don't decode, give nothing: the picture has its own count of those. */
function readInput(frame: Frame): Input[] {
  try {
    if (frame.body[0] !== 3) return fastInput(frame.body);
    return slowInput(frame.body);
  } catch (error) {
    if (error instanceof DecodeError) return [];
    throw error;
  }
}

function fastInput(bytes: Uint8Array): Input[] {
  // A fast-path PDU's action bits are 0; what comes before MCS (CredSSP) begins with 0x30.
  if ((bytes[0]! & 0x03) !== 0 || bytes[0] === 0x30) return [];
  return decode(fastPathInput, bytes).events.flatMap((event): Input[] => {
    switch (event.kind) {
      case 'scancode': {
        const extended = (event.flags & FastPathKeyFlag.extended) !== 0;
        return [
          { kind: 'key', key: keyName(event.keyCode, extended), down: (event.flags & FastPathKeyFlag.release) === 0 },
        ];
      }
      case 'unicode':
        return (event.flags & FastPathKeyFlag.release) === 0
          ? [{ kind: 'text', text: String.fromCharCode(event.unicodeCode) }]
          : [];
      case 'mouse':
        return click(event.pointerFlags, event.x, event.y);
      default:
        return [];
    }
  });
}

function slowInput(bytes: Uint8Array): Input[] {
  const { payload } = decode(x224Data, decode(tpkt, bytes).payload);
  const pdu = decode(mcsPdu, payload);
  if (pdu.kind !== 'sendDataRequest') return [];
  const inputs: Input[] = [];
  for (const share of readShareControlPdus(new Reader(pdu.data))) {
    if ((share.pduType & 0x0f) !== PduType.data) continue;
    const data = decode(shareDataPdu, share.body);
    if (data.pduType2 === PduType2.input) inputs.push(...slowEvents(data.data));
  }
  return inputs;
}

function slowEvents(data: Uint8Array): Input[] {
  return decode(slowPathInput, data).events.flatMap((event): Input[] => {
    switch (event.kind) {
      case 'scancode': {
        const extended = (event.keyboardFlags & KeyboardFlag.extended) !== 0;
        return [
          {
            kind: 'key',
            key: keyName(event.keyCode & 0xff, extended),
            down: (event.keyboardFlags & KeyboardFlag.release) === 0,
          },
        ];
      }
      case 'unicode':
        return (event.keyboardFlags & KeyboardFlag.release) === 0
          ? [{ kind: 'text', text: String.fromCharCode(event.keyCode) }]
          : [];
      case 'mouse':
        return click(event.pointerFlags, event.x, event.y);
      default:
        return [];
    }
  });
}

const buttons: readonly (readonly [number, string])[] = [
  [PointerFlag.button1, 'left button'],
  [PointerFlag.button2, 'right button'],
  [PointerFlag.button3, 'middle button'],
];

function click(flags: number, x: number, y: number): Input[] {
  if ((flags & PointerFlag.down) === 0 || (flags & (PointerFlag.wheel | PointerFlag.hwheel)) !== 0) return [];
  const button = buttons.find(([flag]) => (flags & flag) !== 0);
  return button ? [{ kind: 'click', button: button[1], x, y }] : [];
}
