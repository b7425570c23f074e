/** Names of keys by scan codes of set 1; those that type something are called after the US keyboard, which is where they lie. */

const rows: readonly (readonly [number, string])[] = [
  [0x02, '1234567890-='],
  [0x10, 'QWERTYUIOP[]'],
  [0x1e, "ASDFGHJKL;'`"],
  [0x2b, '\\ZXCVBNM,./'],
];

const names = new Map<number, string>([
  [1, 'Esc'],
  [14, '⌫'],
  [15, 'Tab'],
  [28, '⏎'],
  [29, 'Ctrl'],
  [42, 'Shift'],
  [54, 'Shift'],
  [55, 'Num *'],
  [56, 'Alt'],
  [57, 'Space'],
  [58, 'Caps Lock'],
  [69, 'Num Lock'],
  [70, 'Scroll Lock'],
  [71, 'Num 7'],
  [72, 'Num 8'],
  [73, 'Num 9'],
  [74, 'Num -'],
  [75, 'Num 4'],
  [76, 'Num 5'],
  [77, 'Num 6'],
  [78, 'Num +'],
  [79, 'Num 1'],
  [80, 'Num 2'],
  [81, 'Num 3'],
  [82, 'Num 0'],
  [83, 'Num .'],
  [84, 'Print'],
  [86, 'ISO \\'],
  [87, 'F11'],
  [88, 'F12'],
  // Japanese and Brazilian keyboards, and keys of older ones.
  [0x70, 'Kana'],
  [0x73, 'Ro'],
  [0x79, 'Convert'],
  [0x7b, 'Non-convert'],
  [0x7d, '¥'],
  [0x7e, 'Num ,'],
]);
for (const [first, characters] of rows)
  for (const [i, character] of [...characters].entries()) names.set(first + i, character);
for (let i = 0; i < 10; i += 1) names.set(0x3b + i, `F${i + 1}`);
for (let i = 0; i < 11; i += 1) names.set(0x64 + i, `F${i + 13}`);
names.set(0x76, 'F24');

const extendedNames = new Map<number, string>([
  [16, 'Previous Track'],
  [25, 'Next Track'],
  [28, '⏎'],
  [29, 'Ctrl'],
  [32, 'Mute'],
  [33, 'Calculator'],
  [34, 'Play'],
  [36, 'Stop'],
  [46, 'Volume Down'],
  [48, 'Volume Up'],
  [50, 'Browser Home'],
  [53, 'Num /'],
  [55, 'Print'],
  [56, 'AltGr'],
  [69, 'Num Lock'],
  [70, 'Break'],
  [71, 'Home'],
  [72, '↑'],
  [73, 'Page Up'],
  [75, '←'],
  [77, '→'],
  [79, 'End'],
  [80, '↓'],
  [81, 'Page Down'],
  [82, 'Insert'],
  [83, 'Delete'],
  [91, 'Win'],
  [92, 'Win'],
  [93, 'Menu'],
]);

/** The number block without Num Lock. */
const withoutNumLock: readonly string[] = [
  'Home',
  '↑',
  'Page Up',
  'Num -',
  '←',
  'Num 5',
  '→',
  'Num +',
  'End',
  '↓',
  'Page Down',
  'Insert',
  'Delete',
];

export function keyName(scanCode: number, extended: boolean): string {
  if (extended) return extendedNames.get(scanCode) ?? `key e0 ${scanCode.toString(16)}`;
  return names.get(scanCode) ?? `key ${scanCode.toString(16)}`;
}

const NUMBER_BLOCK = 71;

/** The meaning of a number block key when Num Lock is off; null for all others. */
export const numberBlockName = (scanCode: number): string | null => withoutNumLock[scanCode - NUMBER_BLOCK] ?? null;

export const modifierNames: ReadonlySet<string> = new Set([
  'Ctrl',
  'Shift',
  'Alt',
  'AltGr',
  'Win',
  'Caps Lock',
  'Num Lock',
]);
