import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bitmapUpdate, type FastPathInputEvent, type HeldDesktop } from '@lucid-sessions/rdp';
import { decode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  Dialog,
  DialogDisplay,
  type DialogSpec,
  FIELD_UNITS_MAX,
  fontFor,
  Keyboard,
  layOut,
  linesOf,
} from '../src/index.ts';
import { pasteBitmap } from './support/paste-bitmap.ts';

const spec: DialogSpec = {
  id: 'logon',
  title: 'Sign in',
  text: 'Everything is recorded.\n'.repeat(30),
  fields: [
    { id: 'user', label: 'User name', value: 'ann', secret: false, optional: false },
    { id: 'password', label: 'Password', value: '', secret: true, optional: false },
  ],
  problem: 'The password is wrong.',
  buttons: [
    { id: 'ok', label: 'Sign in' },
    { id: 'cancel', label: 'Cancel' },
  ],
  waits: false,
  escape: 'cancel',
  footer: 'Reference 1',
};

const flags = fc.integer({ min: 0, max: 31 });
const u16 = fc.integer({ min: 0, max: 0xffff });
const anyEvent: fc.Arbitrary<FastPathInputEvent> = fc.oneof(
  fc.record({ kind: fc.constant('scancode' as const), flags, keyCode: fc.integer({ min: 0, max: 255 }) }),
  fc.record({ kind: fc.constant('unicode' as const), flags, unicodeCode: u16 }),
  fc.record({ kind: fc.constant('sync' as const), flags }),
  fc.record({ kind: fc.constant('mouse' as const), flags, pointerFlags: u16, x: u16, y: u16 }),
  fc.record({
    kind: fc.constant('mouse' as const),
    flags,
    pointerFlags: fc.constantFrom(0x9000, 0x1000, 0x0378),
    x: fc.integer({ min: 0, max: 800 }),
    y: fc.integer({ min: 0, max: 600 }),
  }),
);
const side = fc.oneof(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 8192 }));

function desktopOf(width: number, height: number, more: object = {}): HeldDesktop {
  const shape = { desktopWidth: width, desktopHeight: height, bitsPerPixel: 32 as const };
  const core = { keyboardLayout: 0x407, keyboardType: 4, ...more } as unknown as HeldDesktop['core'];
  return { shape, core, capabilitySets: [] };
}

test('nothing is ever drawn outside of the desktop, whatever its size', () => {
  fc.assert(
    fc.property(
      side,
      side,
      fc.constantFrom(100, 150, 200),
      fc.string({ maxLength: 2000 }),
      (width, height, percent, text) => {
        const dialog = new Dialog({ ...spec, text });
        const font = fontFor(percent);
        const { picture } = layOut(dialog, linesOf(dialog.spec, { width, height }, font), { width, height }, font);
        for (const item of picture) {
          const area = item.kind === 'fill' ? item : item.clip;
          assert.ok(area.x >= 0 && area.y >= 0 && area.width > 0 && area.height > 0);
          assert.ok(area.x + area.width <= width && area.y + area.height <= height);
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('whatever is done to it, a dialog stays one: one focus, a caret in its field, values that fit, one answer', () => {
  fc.assert(
    fc.property(
      fc.array(anyEvent, { maxLength: 60 }),
      fc.constantFrom(0x407, 0x409, 0x40c, 0, 0x99),
      (events, layout) => {
        const display = new DialogDisplay(spec);
        display.open(desktopOf(480, 360, { keyboardLayout: layout }));
        const answers = events.map((event) => display.input(event)).filter((answer) => answer !== null);
        for (const update of display.draw()) assert.ok(update.length < 16 * 1024);
        assert.ok(answers.length <= 1);
        for (const { button, values } of answers) {
          assert.ok(['ok', 'cancel'].includes(button));
          assert.deepEqual(Object.keys(values), ['user', 'password']);
          for (const value of Object.values(values)) assert.ok(value.length <= FIELD_UNITS_MAX);
        }
      },
    ),
    { numRuns: 150 },
  );
});

test('any strokes keep focus and caret where they may be', () => {
  const stroke = fc.oneof(
    fc.record({ kind: fc.constant('text' as const), text: fc.string({ maxLength: 300, unit: 'grapheme' }) }),
    fc.record({
      kind: fc.constant('key' as const),
      key: fc.constantFrom('tab', 'backspace', 'delete', 'left', 'right', 'home', 'end', 'up', 'pageDown'),
      shift: fc.boolean(),
    }),
  );
  fc.assert(
    fc.property(fc.array(stroke, { maxLength: 40 }), (strokes) => {
      const dialog = new Dialog(spec);
      for (const each of strokes) {
        dialog.key(each);
        assert.ok(dialog.focus >= 0 && dialog.focus < 4);
        assert.ok(dialog.caret >= 0 && dialog.caret <= dialog.value(dialog.focus).length);
        assert.ok(dialog.value(0).join('').length <= FIELD_UNITS_MAX);
      }
    }),
  );
});

const key = (keyCode: number, release = false): FastPathInputEvent => ({
  kind: 'scancode',
  flags: release ? 1 : 0,
  keyCode,
});
const tap = (keyCode: number): FastPathInputEvent[] => [key(keyCode), key(keyCode, true)];

function answerOf(events: readonly FastPathInputEvent[], more: Partial<DialogSpec> = {}) {
  const display = new DialogDisplay({ ...spec, ...more });
  display.open(desktopOf(1024, 768));
  return events.map((event) => display.input(event)).find((answer) => answer !== null) ?? null;
}

test('typed, moved by Tab, and sent by Enter', () => {
  // The empty password has the focus. z and y are where German has them; Shift, ß; back to the user name.
  const events = [...tap(0x15), ...tap(0x2c), key(0x2a), ...tap(0x1e), key(0x2a, true), ...tap(0x0c), ...tap(0x1c)];
  assert.deepEqual(answerOf(events), { id: 'logon', button: 'ok', values: { user: 'ann', password: 'zyAß' } });
  const shiftTab = [key(0x2a), ...tap(0x0f), key(0x2a, true)];
  const back = [
    ...shiftTab,
    ...tap(0x0e),
    ...tap(0x31),
    ...tap(0x12),
    ...tap(0x0f),
    ...tap(0x0f),
    ...tap(0x0f),
    ...tap(0x39),
  ];
  assert.deepEqual(answerOf(back), { id: 'logon', button: 'cancel', values: { user: 'anne', password: '' } });
  assert.equal(answerOf(tap(0x01))?.button, 'cancel');
  assert.equal(answerOf(tap(0x01), { escape: null }), null);
});

test('a dialog that goes on by itself is not answered by a key somebody still holds', () => {
  const waiting = { fields: [], waits: true };
  assert.equal(answerOf([...tap(0x1c), ...tap(0x39)], waiting), null);
  assert.equal(answerOf([...tap(0x0f), ...tap(0x1c)], waiting)?.button, 'ok');
  assert.equal(answerOf(tap(0x01), waiting)?.button, 'cancel');
});

test('a button counts where it is pressed and let go of', () => {
  const display = new DialogDisplay({ ...spec, text: '' });
  const desktop = desktopOf(1024, 768);
  display.open(desktop);
  const dialog = new Dialog({ ...spec, text: '' });
  const size = { width: 1024, height: 768 };
  const { spotAt } = layOut(dialog, linesOf(dialog.spec, size, fontFor(100)), size, fontFor(100));
  const places = new Map<string, [number, number]>();
  for (let y = 0; y < 768; y += 4)
    for (let x = 0; x < 1024; x += 4) {
      const spot = spotAt(x, y);
      if (spot !== null) places.set(`${spot.kind}${spot.index}`, [x, y]);
    }
  assert.deepEqual([...places.keys()].sort(), ['button0', 'button1', 'field0', 'field1']);
  const mouse = (where: string, pointerFlags: number) => {
    const [x, y] = places.get(where)!;
    return display.input({ kind: 'mouse', flags: 0, pointerFlags, x, y });
  };
  assert.equal(mouse('button1', 0x9000), null);
  assert.equal(mouse('field0', 0x1000), null, 'let go elsewhere');
  mouse('field0', 0x9000);
  display.input({ kind: 'unicode', flags: 0, unicodeCode: 0x61 });
  mouse('button0', 0x9000);
  assert.deepEqual(mouse('button0', 0x1000), { id: 'logon', button: 'ok', values: { user: 'anna', password: '' } });
  assert.ok(display.draw().length > 0);
  assert.deepEqual(display.draw(), []);
  assert.equal(mouse('button0', 0x9000), null);
});

test('a long text is scrolled by wheel and keys, and only what changes is sent', () => {
  const display = new DialogDisplay({ ...spec, fields: [], text: 'A line.\n'.repeat(200) });
  const bytes = (updates: Uint8Array[]): number => updates.reduce((sum, update) => sum + update.length, 0);
  const all = bytes(display.open(desktopOf(1024, 768)));
  const wheel = { kind: 'mouse', flags: 0, pointerFlags: 0x0378, x: 5, y: 5 } as const;
  const after = (event: FastPathInputEvent): number => {
    display.input(event);
    return bytes(display.draw());
  };
  const scrolled = after(wheel);
  assert.ok(scrolled > 0 && scrolled < all);
  assert.ok(after({ kind: 'scancode', flags: 2, keyCode: 0x51 }) > 0);
  assert.equal(after({ kind: 'mouse', flags: 0, pointerFlags: 0x0800, x: 5, y: 5 }), 0);
});

/** Events of scan codes: `^` holds Shift, `@` AltGr for the next one; E0 by 0x100. */
function typed(klid: number, codes: readonly (number | string)[]): string {
  const keyboard = new Keyboard(klid, 4);
  let text = '';
  const send = (code: number, release: boolean): void => {
    const event = { kind: 'scancode', flags: (release ? 1 : 0) | (code > 0xff ? 2 : 0), keyCode: code & 0xff } as const;
    const stroke = keyboard.event(event);
    if (stroke !== null) text += stroke.kind === 'text' ? stroke.text : `[${stroke.key}]`;
  };
  const held: number[] = [];
  for (const code of codes) {
    if (typeof code === 'string') {
      held.push(code === '^' ? 0x2a : 0x138);
      send(held.at(-1)!, false);
      continue;
    }
    send(code, false);
    send(code, true);
    for (const modifier of held.splice(0)) send(modifier, true);
  }
  return text;
}

const layouts: readonly (readonly [string, number, readonly (number | string)[], string])[] = [
  ['US', 0x409, [0x1e, '^', 0x03, 0x15, 0x56], 'a@y\\'],
  ['UK', 0x809, ['^', 0x03, '^', 0x28, 0x2b], '"@#'],
  ['German', 0x407, [0x15, 0x1a, '@', 0x10, 0x0d, 0x12], 'zü@é'],
  ['French', 0x40c, [0x10, 0x1a, 0x12, '^', 0x02, '@', 0x0b], 'aê1@'],
  ['Spanish', 0x40a, [0x27, 0x28, 0x1e, '@', 0x03], 'ñá@'],
  ['Italian', 0x410, [0x1a, '@', 0x27], 'è@'],
  ['number block, Num Lock on', 0x407, [0x47, 0x53, 0x4a, 0x135], '7,-/'],
  ['Caps Lock', 0x409, [0x3a, 0x1e, '^', 0x1e, 0x02], 'Aa1'],
  ['editing keys', 0x409, [0x0f, 0x0e, 0x14b, 0x153, 0x11c], '[tab][backspace][left][delete][enter]'],
];
for (const [name, klid, codes, expected] of layouts)
  test(`keys of a keyboard: ${name}`, () => assert.equal(typed(klid, codes), expected));

test('Unicode events type what they say, in pairs where they must', () => {
  const keyboard = new Keyboard(0, 4);
  const strokes = [0x41, 0xd83d, 0xde42, 0xde42, 0x0d, 0x05].map((unicodeCode) =>
    keyboard.event({ kind: 'unicode', flags: 0, unicodeCode }),
  );
  assert.deepEqual(strokes, [
    { kind: 'text', text: 'A' },
    null,
    { kind: 'text', text: '🙂' },
    null,
    { kind: 'key', key: 'enter', shift: false },
    null,
  ]);
});

test('another dialog takes the place of the first, and nothing of that is left', () => {
  const desktop = desktopOf(640, 480);
  const screen = new Uint32Array(640 * 480);
  const paste = (updates: Uint8Array[]): void => {
    for (const update of updates)
      for (const bitmap of decode(bitmapUpdate, update).rectangles) pasteBitmap(screen, 640, bitmap);
  };
  const display = new DialogDisplay(spec);
  paste(display.open(desktop));
  display.input({ kind: 'unicode', flags: 0, unicodeCode: 0x61 });
  const next = { ...spec, fields: [], text: 'Wait.' };
  display.show(next);
  paste(display.draw());
  const alone = new Uint32Array(640 * 480);
  for (const update of new DialogDisplay(next).open(desktop))
    for (const bitmap of decode(bitmapUpdate, update).rectangles) pasteBitmap(alone, 640, bitmap);
  assert.deepEqual(screen, alone);
  assert.equal(display.input({ kind: 'scancode', flags: 0, keyCode: 0x1c })?.button, 'ok');
});
