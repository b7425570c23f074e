import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GLYPH_WIDTH, glyphRows } from '../src/font.ts';
import { characterOf, keyOf, Scancode } from '../src/index.ts';

const printable = Array.from({ length: 95 }, (_, i) => String.fromCharCode(0x20 + i));

test('every printable character has a key that types it', () => {
  for (const character of printable) {
    const key = keyOf(character);
    assert.ok(key, `no key for ${character}`);
    assert.equal(characterOf(key.scancode, key.shift), character);
  }
  assert.deepEqual(keyOf('\n'), { scancode: Scancode.enter, shift: false });
  assert.equal(keyOf('é'), undefined);
  assert.equal(characterOf(Scancode.leftShift, false), undefined);
});

test('caps lock turns letters around and nothing else', () => {
  assert.equal(characterOf(0x1e, false, true), 'A');
  assert.equal(characterOf(0x1e, true, true), 'a');
  assert.equal(characterOf(0x02, false, true), '1');
  assert.equal(characterOf(0x02, true, true), '!');
});

test('every printable character looks different from every other', () => {
  const looks = new Set(printable.map((character) => glyphRows(character).join()));
  assert.equal(looks.size, printable.length);
  for (const character of printable) {
    const rows = glyphRows(character);
    assert.equal(rows.length, 7);
    assert.ok(rows.every((row) => row >= 0 && row < 1 << GLYPH_WIDTH));
  }
  assert.deepEqual(glyphRows('é'), glyphRows('\u263a'));
});
