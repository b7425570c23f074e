/**
 * What keys say, from scan codes of set 1. The characters are those of the US layout: which layout the desktop had is only known to
 * the desktop. Unicode input events need no table.
 */
export interface KeyName {
  /** The character without and with Shift; absent for keys that type none. */
  plain?: string;
  shifted?: string;
  name: string;
}

const rows: readonly (readonly [number, string, string])[] = [
  [0x02, '1234567890-=', '!@#$%^&*()_+'],
  [0x10, 'qwertyuiop[]', 'QWERTYUIOP{}'],
  [0x1e, "asdfghjkl;'`", 'ASDFGHJKL:"~'],
  [0x2b, '\\zxcvbnm,./', '|ZXCVBNM<>?'],
];

const named: Readonly<Record<number, string>> = {
  1: 'Esc',
  14: '⌫',
  15: 'Tab',
  28: '⏎',
  29: 'Ctrl',
  42: 'Shift',
  54: 'Shift',
  55: '*',
  56: 'Alt',
  58: 'Caps Lock',
  69: 'Num Lock',
  70: 'Scroll Lock',
  71: 'Num 7',
  72: 'Num 8',
  73: 'Num 9',
  74: 'Num -',
  75: 'Num 4',
  76: 'Num 5',
  77: 'Num 6',
  78: 'Num +',
  79: 'Num 1',
  80: 'Num 2',
  81: 'Num 3',
  82: 'Num 0',
  83: 'Num .',
  87: 'F11',
  88: 'F12',
};

const namedExtended: Readonly<Record<number, string>> = {
  28: '⏎',
  29: 'Ctrl',
  53: 'Num /',
  55: 'Print',
  56: 'AltGr',
  71: 'Home',
  72: '↑',
  73: 'Page Up',
  75: '←',
  77: '→',
  79: 'End',
  80: '↓',
  81: 'Page Down',
  82: 'Insert',
  83: 'Delete',
  91: 'Win',
  92: 'Win',
  93: 'Menu',
};

const characters = new Map<number, KeyName>([[0x39, { plain: ' ', shifted: ' ', name: 'Space' }]]);
for (const [first, plain, shifted] of rows)
  [...plain].forEach((character, i) => {
    characters.set(first + i, { plain: character, shifted: [...shifted][i]!, name: character.toUpperCase() });
  });

export function keyName(scanCode: number, extended: boolean): KeyName {
  if (extended) return { name: namedExtended[scanCode] ?? `key e0 ${scanCode.toString(16)}` };
  const character = characters.get(scanCode);
  if (character) return character;
  if (scanCode >= 0x3b && scanCode <= 0x44) return { name: `F${scanCode - 0x3a}` };
  return { name: named[scanCode] ?? `key ${scanCode.toString(16)}` };
}

export const modifierNames: ReadonlySet<string> = new Set(['Ctrl', 'Shift', 'Alt', 'AltGr', 'Win', 'Caps Lock']);
