/**
 * What the keys of keyboards type on Windows, by the layout a client names (its KLID). Only layouts that are certain stand here: of
 * another one the keys are named, because a wrong letter is worse than none. Marks stand for dead keys.
 */
export interface KeyboardLayout {
  /** By scan code: without and with Shift. '' types nothing. */
  readonly keys: ReadonlyMap<number, readonly [plain: string, shifted: string]>;
  /** With AltGr, by what the key types without. */
  readonly altGr: ReadonlyMap<string, string>;
  /** Caps Lock also turns digits and signs, as Shift does. */
  readonly shiftLock: boolean;
  /** What the number block's point types. */
  readonly decimal: string;
  /** The text depends on more than keys: an input method composes it. */
  readonly composes: boolean;
}

/** A dead key's mark, what it makes of the letter behind it, and what it types before a space. */
const deadKeys: Readonly<Record<string, readonly [combining: string, alone: string]>> = {
  ˋ: ['\u0300', '`'],
  ˊ: ['\u0301', '´'],
  ˆ: ['\u0302', '^'],
  '˜': ['\u0303', '~'],
  '¨': ['\u0308', '¨'],
  ʹ: ['\u0301', "'"],
  ʺ: ['\u0308', '"'],
};

export const isDeadKey = (character: string): boolean => Object.hasOwn(deadKeys, character);

/** What a dead key and the character behind it type together. */
export function composed(mark: string, character: string): string {
  const [combining, alone] = deadKeys[mark]!;
  if (character === ' ') return alone;
  if (isDeadKey(character)) return alone + deadKeys[character]![1];
  // US International makes it of the apostrophe, and nothing else of it.
  if (mark === 'ʹ' && /^[cC]$/.test(character)) return character === 'c' ? 'ç' : 'Ç';
  const together = (character + combining).normalize('NFC');
  return together.length === character.length ? together : alone + character;
}

/** A dead key nothing came behind. */
export const deadKeyAlone = (mark: string): string => deadKeys[mark]![1];

/** Scan codes of set 1 in the order in which the tables below list them: the key left of 1, four rows, and the one beside left Shift. */
const order: readonly number[] = [0x29, 2, 16, 30, 0x2b, 44, 0x56].flatMap((first, row) =>
  Array.from({ length: [1, 12, 12, 11, 1, 10, 1][row]! }, (_, i) => first + i),
);

interface Described {
  plain: string;
  shifted: string;
  /** Pairs. */
  altGr?: string;
  /** Keys above those: scan code, plain, shifted. */
  more?: readonly (readonly [number, string, string])[];
  shiftLock?: boolean;
  decimal?: string;
  composes?: boolean;
}

function layout(described: Described): KeyboardLayout {
  const { plain, shifted, altGr = '', more = [], shiftLock = false, decimal = '.', composes = false } = described;
  const none = (character: string): string => (character === '␣' ? '' : character);
  const keys = new Map(order.map((code, i) => [code, [none([...plain][i]!), none([...shifted][i]!)] as const]));
  for (const [code, ...characters] of more) keys.set(code, characters);
  const pairs = [...altGr];
  const levels = new Map(pairs.flatMap((character, i) => (i % 2 === 0 ? [[character, pairs[i + 1]!] as const] : [])));
  return { keys, altGr: levels, shiftLock, decimal, composes };
}

const us: Described = {
  plain: "`1234567890-=qwertyuiop[]asdfghjkl;'\\zxcvbnm,./\\",
  shifted: '~!@#$%^&*()_+QWERTYUIOP{}ASDFGHJKL:"|ZXCVBNM<>?|',
};
const usInternational: Described = {
  plain: 'ˋ1234567890-=qwertyuiop[]asdfghjkl;ʹ\\zxcvbnm,./\\',
  shifted: '˜!@#$%ˆ&*()_+QWERTYUIOP{}ASDFGHJKL:ʺ|ZXCVBNM<>?|',
  altGr: '1¡2²3³4¤5€6¼7½8¾9‘0’-¥=×qäwåeér®tþyüuúiíoópö[«]»aásßdðlø;¶ʹ´\\¬zæc©nñmµ,ç/¿',
};
const british: Described = {
  plain: "`1234567890-=qwertyuiop[]asdfghjkl;'#zxcvbnm,./\\",
  shifted: '¬!"£$%^&*()_+QWERTYUIOP{}ASDFGHJKL:@~ZXCVBNM<>?|',
  altGr: '`¦4€eéuúiíoóaá',
};
const german: Described = {
  plain: 'ˆ1234567890ßˊqwertzuiopü+asdfghjklöä#yxcvbnm,.-<',
  shifted: '°!"§$%&/()=?ˋQWERTZUIOPÜ*ASDFGHJKLÖÄ\'YXCVBNM;:_>',
  altGr: '2²3³7{8[9]0}ß\\q@e€+~<|mµ',
  shiftLock: true,
  decimal: ',',
};
const swissGerman: Described = {
  plain: "§1234567890'ˆqwertzuiopü¨asdfghjklöä$yxcvbnm,.-<",
  shifted: '°+"*ç%&/()=?ˋQWERTZUIOPè!ASDFGHJKLéà£YXCVBNM;:_>',
  altGr: "1¦2@3#6¬7|8¢'ˊˆ˜e€ü[¨]ä{$}<\\",
};
const french: Described = {
  plain: '²&é"\'(-è_çà)=azertyuiopˆ$qsdfghjklmù*wxcvbn,;:!<',
  shifted: '␣1234567890°+AZERTYUIOP¨£QSDFGHJKLM%µWXCVBN?./§>',
  altGr: 'é˜"#\'{([-|èˋ_\\ç^à@)]=}e€$¤',
  shiftLock: true,
};
const belgian: Described = {
  plain: '²&é"\'(§è!çà)-azertyuiopˆ$qsdfghjklmùµwxcvbn,;:=<',
  shifted: '³1234567890°_AZERTYUIOP¨*QSDFGHJKLM%£WXCVBN?./+>',
  altGr: '&|é@"#§^ç{à}e€ˆ[$]ùˊµˋ=˜<\\',
  shiftLock: true,
};
const spanish: Described = {
  plain: "º1234567890'¡qwertyuiopˋ+asdfghjklñˊçzxcvbnm,.-<",
  shifted: 'ª!"·$%&/()=?¿QWERTYUIOPˆ*ASDFGHJKLÑ¨ÇZXCVBNM;:_>',
  altGr: 'º\\1|2@3#4˜5€6¬e€ˋ[+]ˊ{ç}',
};
const latinAmerican: Described = {
  plain: "|1234567890'¿qwertyuiopˊ+asdfghjklñ{}zxcvbnm,.-<",
  shifted: '°!"#$%&/()=?¡QWERTYUIOP¨*ASDFGHJKLÑ[]ZXCVBNM;:_>',
  altGr: "|¬'\\q@+~",
};
const italian: Described = {
  plain: "\\1234567890'ìqwertyuiopè+asdfghjklòàùzxcvbnm,.-<",
  shifted: '|!"£$%&/()=?^QWERTYUIOPé*ASDFGHJKLç°§ZXCVBNM;:_>',
  altGr: 'e€5€è[+]ò@à#',
};
const portuguese: Described = {
  plain: "\\1234567890'«qwertyuiop+ˊasdfghjklçº˜zxcvbnm,.-<",
  shifted: '|!"#$%&/()=?»QWERTYUIOP*ˋASDFGHJKLÇªˆZXCVBNM;:_>',
  altGr: '2@3£4§5€7{8[9]0}e€+¨',
};
const brazilian: Described = {
  plain: "'1234567890-=qwertyuiopˊ[asdfghjklç˜]zxcvbnm,.;\\",
  shifted: '"!@#$%¨&*()_+QWERTYUIOPˋ{ASDFGHJKLÇˆ}ZXCVBNM<>:|',
  altGr: '1¹2²3³4£5¢6¬=§q/w?e°[ª]ºc₢/°',
  more: [[0x73, '/', '?']],
  decimal: ',',
};
const swedish: Described = {
  plain: "§1234567890+ˊqwertyuiopå¨asdfghjklöä'zxcvbnm,.-<",
  shifted: '½!"#¤%&/()=?ˋQWERTYUIOPÅˆASDFGHJKLÖÄ*ZXCVBNM;:_>',
  altGr: '2@3£4$5€7{8[9]0}+\\e€¨˜<|mµ',
  decimal: ',',
};
const norwegian: Described = {
  plain: "|1234567890+\\qwertyuiopå¨asdfghjkløæ'zxcvbnm,.-<",
  shifted: '§!"#¤%&/()=?ˋQWERTYUIOPÅˆASDFGHJKLØÆ*ZXCVBNM;:_>',
  altGr: '2@3£4$5€7{8[9]0}\\ˊe€¨˜mµ',
  decimal: ',',
};
const danish: Described = {
  plain: "½1234567890+ˊqwertyuiopå¨asdfghjklæø'zxcvbnm,.-<",
  shifted: '§!"#¤%&/()=?ˋQWERTYUIOPÅˆASDFGHJKLÆØ*ZXCVBNM;:_>',
  altGr: '2@3£4$5€7{8[9]0}ˊ|e€¨˜<\\mµ',
  decimal: ',',
};
const polish: Described = {
  ...us,
  shifted: us.shifted.replace('~', '˜'),
  altGr: 'eęoóu€aąsślłzżxźcćnń',
};
/** Of a keyboard with Japanese keys; the romanised text of its input method. */
const japanese: Described = {
  plain: '␣1234567890-^qwertyuiop@[asdfghjkl;:]zxcvbnm,./␣',
  shifted: '␣!"#$%&\'()␣=~QWERTYUIOP`{ASDFGHJKL+*}ZXCVBNM<>?␣',
  more: [
    [0x73, '\\', '_'],
    [0x7d, '\\', '|'],
  ],
  composes: true,
};

const byKlid: Readonly<Record<number, Described>> = {
  1033: us,
  132105: usInternational,
  2057: british,
  1031: german,
  3079: german,
  2055: swissGerman,
  1036: french,
  2060: belgian,
  2067: belgian,
  1034: spanish,
  3082: spanish,
  2058: latinAmerican,
  1040: italian,
  2070: portuguese,
  1046: brazilian,
  1053: swedish,
  1035: swedish,
  1044: norwegian,
  1030: danish,
  1045: polish,
  // Input methods behind a keyboard that is labelled as in the US.
  1028: { ...us, composes: true },
  2052: { ...us, composes: true },
  3076: { ...us, composes: true },
  4100: { ...us, composes: true },
  5124: { ...us, composes: true },
  1042: { ...us, composes: true },
};
const JAPANESE = 0x0411;
/** keyboardType of Client Core Data, [MS-RDPBCGR] 2.2.1.3.2. */
const JAPANESE_KEYBOARD = 7;

/**
 * The layout of a KLID as Client Core Data has it; null where it is not known here. Clients also name it by a handle, whose upper half
 * repeats the language, and input methods by an upper half above 0xE000.
 */
export function keyboardLayoutOf(klid: number, keyboardType: number): KeyboardLayout | null {
  const language = klid & 0xffff;
  const variant = klid >>> 16;
  const isPlain = variant === 0 || variant === language || variant >= 0xe000;
  if (isPlain && language === JAPANESE)
    return layout(keyboardType === JAPANESE_KEYBOARD ? japanese : { ...us, composes: true });
  const found = byKlid[isPlain ? language : klid];
  return found ? layout(found) : null;
}

/** What is assumed of a client that names no layout. */
export const assumedLayout: KeyboardLayout = layout({ ...us, composes: true });
