/** The US keyboard in scancode set 1, both ways: what a key types, and which keys type a character. */

const PLAIN: Record<number, string> = {};
const SHIFTED: Record<number, string> = {};

function row(first: number, plain: string, shifted: string): void {
  for (let i = 0; i < plain.length; i += 1) {
    PLAIN[first + i] = plain.charAt(i);
    SHIFTED[first + i] = shifted.charAt(i);
  }
}
row(0x02, '1234567890-=', '!@#$%^&*()_+');
row(0x10, 'qwertyuiop[]', 'QWERTYUIOP{}');
row(0x1e, "asdfghjkl;'`", 'ASDFGHJKL:"~');
row(0x2b, '\\zxcvbnm,./', '|ZXCVBNM<>?');
row(0x39, ' ', ' ');

export const Scancode = { backspace: 0x0e, enter: 0x1c, leftShift: 0x2a, rightShift: 0x36, capsLock: 0x3a } as const;

/** The character a key types, or undefined when it types none. */
export function characterOf(scancode: number, shift: boolean, capsLock = false): string | undefined {
  const plain = PLAIN[scancode];
  if (plain === undefined) return undefined;
  const isLetter = plain >= 'a' && plain <= 'z';
  return shift !== (capsLock && isLetter) ? SHIFTED[scancode] : plain;
}

const keys = new Map<string, { scancode: number; shift: boolean }>();
for (const [table, shift] of [
  [SHIFTED, true],
  [PLAIN, false],
] as const)
  for (const [scancode, character] of Object.entries(table)) keys.set(character, { scancode: Number(scancode), shift });
keys.set('\n', { scancode: Scancode.enter, shift: false });

/** The key that types a character, or undefined when the keyboard has none. */
export function keyOf(character: string): { scancode: number; shift: boolean } | undefined {
  return keys.get(character);
}
