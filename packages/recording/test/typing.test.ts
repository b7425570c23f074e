import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyboardLayoutOf } from '@lucid-sessions/rdp/keyboard';
import fc from 'fast-check';
import type { Happening } from '../src/session-index/events.ts';
import { Typing } from '../src/session-index/typing.ts';

const US = 0x0409;
const GERMAN = 0x0407;
const FRENCH = 0x040c;
/** Key events as `4x1d` (E1), `e0x38` (E0), `2a` (plain): `+` down, `-` up, else both. */
type Keys = string;

class Keyboard {
  readonly events: Happening[] = [];
  #typing = this.#make();
  #timeUs = 0;

  constructor(klid = US, type = 4, numLock: boolean | null = true) {
    this.#typing.keyboard(klid, type);
    if (numLock !== null) this.sync(numLock);
  }

  #make(): Typing {
    return new Typing('full', (_, happening) => void this.events.push(happening));
  }

  /** Saves and restores the state before every event. */
  #next(): Typing {
    const next = this.#make();
    next.restore(structuredClone(this.#typing.snapshot()));
    this.#typing = next;
    this.#timeUs += 1000;
    return next;
  }

  sync(numLock: boolean, capsLock = false): this {
    this.#next().locks(capsLock, numLock);
    return this;
  }

  keys(keys: Keys): this {
    for (const key of keys.split(' ')) {
      const [, prefix, code, way] = /^(e[01]x)?([0-9a-f]{2})([+-]?)$/.exec(key)!;
      for (const down of way === '' ? [true, false] : [way === '+'])
        this.#next().key(this.#timeUs, {
          scanCode: Number.parseInt(code!, 16),
          extended: prefix === 'e0x',
          extended1: prefix === 'e1x',
          down,
        });
    }
    return this;
  }

  unicode(text: string): this {
    for (let i = 0; i < text.length; i += 1) this.#next().unicode(this.#timeUs, text.charCodeAt(i));
    return this;
  }

  /** Lines and combinations, a line that was entered with ⏎. */
  get told(): string[] {
    this.#next().end();
    return this.events.map((event) => {
      if (event.kind === 'combination') return event.keys!;
      assert.ok(event.kind === 'typed');
      return `${event.text}${event.entered ? '⏎' : ''}`;
    });
  }

  get approximate(): boolean[] {
    void this.told;
    return this.events.flatMap((event) => (event.kind === 'typed' ? [event.approximate] : []));
  }
}

test('AltGr, as Windows sends it with left Ctrl and as others do', () => {
  const german = () => new Keyboard(GERMAN);
  assert.deepEqual(german().keys('16 1d+ e0x38+ 10 1d- e0x38- 23').told, ['u@h']);
  assert.deepEqual(german().keys('16 1d+ e0x38+ 10 e0x38- 1d- 23').told, ['u@h']);
  assert.deepEqual(german().keys('e0x38+ 12 08 e0x38-').told, ['€{']);
  assert.deepEqual(german().keys('1d+ 38+ 10 38- 1d-').told, ['@']);
  assert.deepEqual(new Keyboard().keys('16 1d+ e0x38+ 10 1d- e0x38- 23').told, ['u[AltGr+Q]h']);
  // Not held to type: with right Ctrl, or a key that types nothing.
  assert.deepEqual(german().keys('e0x1d+ e0x38+ 10 e0x38- e0x1d-').told, ['Ctrl+AltGr+Q']);
  assert.deepEqual(german().keys('1d+ e0x38+ e0x53 1d- e0x38-').told, ['AltGr+Delete']);
  assert.deepEqual(german().keys('1d+ 38+ e0x53 38- 1d-').told, ['Ctrl+Alt+Delete']);
  assert.deepEqual(new Keyboard(0x0415).keys('2a+ e0x38+ 1e e0x38- 2a- e0x38+ 1e e0x38-').told, ['Ąą']);
});

test('modifiers are held as often as they are: left and right, repeated, forgotten', () => {
  const us = () => new Keyboard();
  assert.deepEqual(us().keys('2a+ 36+ 1e 2a- 1e 36- 1e').told, ['AAa']);
  assert.deepEqual(us().keys('1d+ e0x1d+ 1d- 2e e0x1d- 2e').told, ['Ctrl+C', 'c']);
  assert.deepEqual(us().keys('2a+ 2a+ 2a+ 1e 2a- 1e').told, ['Aa']);
  assert.deepEqual(us().keys('1d+ 1d+ 2e 1d- 2e').told, ['Ctrl+C', 'c']);
  // Caps Lock repeats while it is held.
  assert.deepEqual(us().keys('3a+ 3a+ 3a+ 3a- 1e 3a 1e').told, ['Aa']);
  // A synchronize event says that all are up.
  assert.deepEqual(us().keys('1d+').sync(true).keys('2e').told, ['c']);
  assert.deepEqual(us().sync(true, true).keys('1e 02 2a+ 1e 02 2a-').told, ['A1a!']);
});

test('Pause, Break, Print and the shifts keyboards make up', () => {
  const us = () => new Keyboard();
  assert.deepEqual(us().keys('1e e1x1d+ 45+ e1x1d- 45- 1e').told, ['a[Pause]a']);
  assert.deepEqual(us().keys('e1x1d+ e1x45+ e1x1d- e1x45- 47').told, ['[Pause]7']);
  assert.deepEqual(us().keys('1d+ e0x46 1d-').told, ['Ctrl+Break']);
  assert.deepEqual(us().keys('e0x2a+ e0x37+ e0x37- e0x2a- 1e').told, ['[Print]a']);
  assert.deepEqual(us().keys('2a+ e0x2a- e0x4b+ e0x4b- e0x2a+ 2a- 1e').told, ['[←]a']);
  assert.deepEqual(us().keys('e1x1d+ 1e').told, ['a']);
});

test('the number block types with Num Lock and moves without', () => {
  const all = '47 48 49 4a 4b 4c 4d 4e 4f 50 51 52 53 37 e0x35';
  assert.deepEqual(new Keyboard().keys(all).told, ['789-456+1230.*/']);
  const moves = '[Home][↑][Page Up]-[←][Num 5][→]+[End][↓][Page Down][Insert][Delete]*/';
  assert.deepEqual(new Keyboard(US, 4, false).keys(all).told, [moves]);
  assert.deepEqual(new Keyboard().keys('2a+ 47 2a-').told, ['[Home]']);
  assert.deepEqual(new Keyboard().keys('45+ 45+ 45- 47 45 47').told, ['[Home]7']);
  assert.deepEqual(new Keyboard(GERMAN).keys('4f 53').told, ['1,']);
  const unknown = new Keyboard(US, 4, null).keys('47');
  assert.deepEqual([unknown.told, unknown.approximate], [['7'], [true]]);
});

test('keys of other keyboards: ISO, Japanese, Brazilian, multimedia', () => {
  assert.deepEqual(new Keyboard(GERMAN).keys('56 2a+ 56 2a- e0x38+ 56 e0x38-').told, ['<>|']);
  assert.deepEqual(new Keyboard().keys('56').told, ['\\']);
  const japanese = new Keyboard(0x0411, 7).keys('1a 73 7d 70 79 7b');
  assert.deepEqual([japanese.told, japanese.approximate], [['@\\\\[Kana][Convert][Non-convert]'], [true]]);
  assert.deepEqual(new Keyboard(0x0411, 4).keys('1a').told, ['[']);
  assert.deepEqual(new Keyboard(0x0416).keys('73 7e').told, ['/[Num ,]']);
  assert.deepEqual(new Keyboard().keys('e0x20 e0x5f 64 76 7f').told, ['[Mute][key e0 5f][F13][F24][key 7f]']);
});

test('dead keys wait for what comes behind', () => {
  const german = () => new Keyboard(GERMAN);
  assert.deepEqual(german().keys('0d 12 2a+ 0d 2a- 1e 29 18').told, ['éàô']);
  assert.deepEqual(german().keys('0d 39').told, ['´']);
  assert.deepEqual(german().keys('0d 2d').told, ['´x']);
  assert.deepEqual(german().keys('29 29 29 1c').told, ['^^^⏎']);
  assert.deepEqual(german().keys('1e 0d 0e 12').told, ['ae']);
  assert.deepEqual(german().keys('0d').told, ['´']);
  assert.deepEqual(new Keyboard(FRENCH).keys('2a+ 1a 2a- 12').told, ['ë']);
  assert.deepEqual(new Keyboard(0x00020409).keys('28 2e 28 12 28 39').told, ["çé'"]);
});

test('Backspace takes back a character, brackets that were typed too, and names what it can’t know', () => {
  const us = () => new Keyboard();
  assert.deepEqual(us().keys('1a 1e 1b 0e').told, ['[a']);
  assert.deepEqual(us().keys('1e e0x4b 0e 30').told, ['a[←][⌫]b']);
  assert.deepEqual(us().keys('0e 0e').told, ['']);
  const [event] = us().keys('1e 0e 30').events;
  assert.equal(event, undefined);
});

test('Unicode events: control characters do what the keys do', () => {
  const us = () => new Keyboard();
  assert.deepEqual(us().unicode('abx\b c\rsecond\nthird\r\nfourth').told, ['ab c⏎', 'second⏎', 'third⏎', 'fourth']);
  assert.deepEqual(us().unicode('a\x7f\x1b\tb\x00').told, ['a[Delete][Esc]\tb[U+0000]']);
  assert.deepEqual(us().unicode('a\x03b').told, ['a', 'Ctrl+C', 'b']);
  assert.deepEqual(us().keys('1d+').unicode('v').keys('1d-').told, ['Ctrl+V']);
  assert.deepEqual(us().keys('1d+ e0x38+').unicode('@').keys('1d- e0x38-').told, ['@']);
  assert.deepEqual(us().unicode('\r').told, ['⏎']);
});

test('a character of two halves is one, a half alone is none', () => {
  const us = () => new Keyboard();
  assert.deepEqual(us().unicode('a😀\b').told, ['a']);
  // Signs that stand for dead keys in the tables of layouts.
  assert.deepEqual(us().unicode('¨e˜ʹˊ').told, ['¨e˜ʹˊ']);
  assert.deepEqual(new Keyboard(GERMAN).keys('0d').unicode('e').told, ['´e']);
  assert.deepEqual(us().unicode('\ud83d').unicode('a\ude00').told, ['\ufffda\ufffd']);
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 400 }), (text) => {
      const typed = us().unicode(text.replaceAll(/\p{Cc}/gu, '')).told;
      assert.equal(typed.join('').isWellFormed(), true);
      assert.equal(typed.join(''), text.replaceAll(/\p{Cc}/gu, ''));
    }),
  );
});

test('a layout that is not known names its keys, one that is not told is taken for the US one', () => {
  const russian = new Keyboard(0x0419).keys('10 2a+ 02 2a- 39 1c 1d+ 2e 1d-');
  assert.deepEqual(russian.told, ['[Q][1] ⏎', 'Ctrl+C']);
  assert.deepEqual(russian.approximate, [true]);
  assert.deepEqual(new Keyboard(0x00010409).keys('1f').told, ['[S]']);
  for (const [klid, approximate] of [
    [0, true],
    [US, false],
    [0x0409_0409, false],
    [0x0804, true],
    [0xe001_0804, true],
  ] as const) {
    const keyboard = new Keyboard(klid).keys('1f');
    assert.deepEqual([keyboard.told, keyboard.approximate], [['s'], [approximate]], klid.toString(16));
  }
});

test('every layout has all keys, letters have both cases, and no character comes twice without Shift', () => {
  const klids = [
    0x0409, 0x00020409, 0x0809, 0x0407, 0x0c07, 0x0807, 0x040c, 0x080c, 0x0813, 0x040a, 0x080a, 0x0410, 0x0816, 0x0416,
    0x041d, 0x040b, 0x0414, 0x0406, 0x0415,
  ];
  for (const klid of klids) {
    const layout = keyboardLayoutOf(klid, 4)!;
    const plain = [...layout.keys.values()].map(([character]) => character);
    const name = klid.toString(16);
    assert.equal(layout.keys.size, layout.keys.has(0x73) ? 49 : 48, name);
    for (const letter of 'abcdefghijklmnopqrstuvwxyz') {
      const [, shifted] = [...layout.keys.values()].find(([character]) => character === letter)!;
      assert.equal(shifted, letter.toUpperCase(), name);
    }
    for (const digit of '0123456789')
      assert.ok([...layout.keys.values()].flat().includes(digit), `${name} has no ${digit}`);
    const twice = plain.filter((character, i) => plain.indexOf(character) !== i);
    assert.ok(
      twice.every((character) => character === '\\' || character === '/'),
      `${name}: ${twice}`,
    );
    for (const key of layout.altGr.keys()) assert.ok(plain.includes(key), `${name}: AltGr of ${key}`);
  }
  const japanese = keyboardLayoutOf(0x0411, 7)!;
  assert.deepEqual(japanese.keys.get(0x28), [':', '*']);
});

test('caps lock turns digits where Shift Lock does', () => {
  const french = new Keyboard(FRENCH).sync(true, true).keys('10 02 2a+ 02 2a-');
  assert.deepEqual([french.told, french.approximate], [['A1&'], [true]]);
  assert.deepEqual(new Keyboard(GERMAN).sync(true, true).keys('1a 27').told, ['ÜÖ']);
});
