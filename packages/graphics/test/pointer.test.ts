import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { createPalette } from '../src/bitmap/index.ts';
import { Screen } from '../src/index.ts';
import { PointerDecoder, pointerPicture } from '../src/pointer/index.ts';

const hex = (digits: string) => Uint8Array.from(Buffer.from(digits.replace(/\s+/g, ''), 'hex'));
const decodeError = (code: string) => (error: unknown) => error instanceof DecodeError && error.code === code;
const palette = createPalette();
palette[1] = 0xff112233;
palette[0xf] = 0xff445566;

function picture(width: number, height: number, xorBitsPerPixel: number, xor: string, and: string): string[] {
  const masks = { width, height, xorBitsPerPixel, xorMask: hex(xor), andMask: hex(and) };
  return [...pointerPicture(masks, palette).words].map((word) => word.toString(16).padStart(8, '0'));
}

describe('pointer masks, [MS-RDPBCGR] 2.2.9.1.1.4.4', () => {
  test('monochrome: screen, inverted, black and white; rows top-down', () => {
    // AND 1 1 0 0 and XOR 0 1 0 1.
    assert.deepEqual(picture(4, 1, 1, '5000', 'c000'), ['00000000', 'ffffffff', 'ff000000', 'ffffffff']);
    // Inverted pixels of a row are a chequer.
    assert.deepEqual(picture(2, 2, 1, 'c000 c000', 'c000 c000'), ['ff000000', 'ffffffff', 'ffffffff', 'ff000000']);
    assert.deepEqual(picture(1, 2, 1, '8000 0000', '0000 0000'), ['ffffffff', 'ff000000']);
  });

  test('colours in every depth; rows bottom-up, padded to two bytes', () => {
    assert.deepEqual(picture(1, 2, 24, '010203 00 040506 00', '0000 0000'), ['ff040506', 'ff010203']);
    assert.deepEqual(picture(1, 2, 24, '000000 00 ffffff 00', '8000 8000'), ['ff000000', '00000000']);
    assert.deepEqual(picture(1, 1, 32, '01020380', '0000'), ['80010203']);
    assert.deepEqual(picture(1, 1, 32, '01020380', ''), ['80010203']);
    assert.deepEqual(picture(1, 1, 16, 'ff7f', '0000'), ['ffffffff']);
    assert.deepEqual(picture(1, 1, 8, '0100', '0000'), ['ff112233']);
    assert.deepEqual(picture(2, 1, 4, '1f00', '0000'), ['ff112233', 'ff445566']);
    assert.deepEqual(picture(1, 1, 24, '010203 00', '8000'), ['ff010203'], 'a colour over the screen stays a colour');
  });

  test('of 32 bpp the alpha counts, and the AND mask only where alpha says nothing', () => {
    const [shadow, edge, clear, body] = ['00000040', '04010080', '00000000', '000000ff'];
    // All but the body keep the screen by their AND mask, as Windows sends it.
    assert.deepEqual(picture(4, 1, 32, `${shadow}${edge}${clear}${body}`, 'e000'), [
      '40000000',
      '80040100',
      '00000000',
      'ff000000',
    ]);
    assert.deepEqual(
      picture(2, 1, 32, `${body}${shadow}`, 'c000'),
      ['ff000000', '40000000'],
      'a body the mask would hide',
    );
    // No alpha anywhere, or all of it: the masks are all there is.
    for (const alpha of ['00', 'ff'])
      assert.deepEqual(
        picture(4, 1, 32, `010203${alpha}000000${alpha}ffffff${alpha}030201${alpha}`, '6000'),
        ['ff010203', '00000000', 'ff000000', 'ff030201'],
        alpha,
      );
    assert.deepEqual(picture(2, 1, 32, '0102030004050600', ''), ['ff010203', 'ff040506'], 'without an AND mask too');
    assert.deepEqual(picture(1, 1, 32, '00000040', '8000'), ['40000000'], 'the same half of it everywhere is a shadow');
    assert.deepEqual(picture(0, 0, 32, '', ''), []);
  });

  test('too large, cut short, of no known depth', () => {
    assert.throws(() => picture(385, 1, 1, '', ''), decodeError('limit'));
    assert.throws(() => picture(2, 2, 24, '010203', ''), decodeError('truncated'));
    assert.throws(() => picture(1, 2, 24, '010203 00 010203 00', '00'), decodeError('truncated'));
    assert.throws(() => picture(1, 1, 5, '0000', '0000'), decodeError('unsupported'));
  });

  test('any masks', () => {
    const sides = fc.integer({ min: 0, max: 40 });
    const mask = fc.uint8Array({ maxLength: 400 });
    fc.assert(
      fc.property(
        sides,
        sides,
        fc.constantFrom(1, 4, 8, 16, 24, 32, 7),
        mask,
        mask,
        (width, height, depth, xorMask, andMask) => {
          try {
            const { words } = pointerPicture({ width, height, xorBitsPerPixel: depth, xorMask, andMask }, palette);
            assert.equal(words.length, width * height);
          } catch (error) {
            assert.ok(error instanceof DecodeError, String(error));
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('pointer updates', () => {
  const attribute = (cacheIndex: string, color = '0a0b0c') =>
    hex(`${cacheIndex} 0200 0300 0100 0100 0200 0400 ${color}00 0000`);
  const setup = () => {
    const screen = new Screen(10, 10);
    return { screen, pointers: new PointerDecoder(screen) };
  };

  test('system pointers, hidden and the client’s own', () => {
    const { screen, pointers } = setup();
    pointers.color(attribute('0000'), palette);
    pointers.system(hex('00000000'));
    assert.equal(screen.pointer.visible, false);
    pointers.system(hex('007f0000'));
    assert.deepEqual([screen.pointer.visible, screen.pointer.shape], [true, null]);
  });

  test('a position', () => {
    const { screen, pointers } = setup();
    pointers.position(hex('0102 0304'));
    assert.deepEqual([screen.pointer.x, screen.pointer.y], [0x201, 0x403]);
  });

  test('colour, new and large pointers fill the cache', () => {
    const { screen, pointers } = setup();
    pointers.color(attribute('0100'), palette);
    assert.deepEqual([...screen.pointer.shape!.pixels.words], [0xff0a0b0c]);
    assert.deepEqual([screen.pointer.shape!.hotspotX, screen.pointer.shape!.hotspotY], [2, 3]);
    pointers.pointer(hex('1800 0200 0000 0000 0100 0100 0200 0400 01020300 0000'), palette);
    pointers.large(hex('2000 0300 0000 0000 0100 0100 00000000 04000000 04050680'), palette);
    assert.deepEqual([...screen.pointer.shape!.pixels.words], [0x80040506]);
    pointers.hide();
    pointers.cached(hex('0100'));
    assert.deepEqual([...screen.pointer.shape!.pixels.words], [0xff0a0b0c]);
    assert.equal(screen.pointer.visible, true);
    pointers.cached(hex('0200'));
    assert.deepEqual([...screen.pointer.shape!.pixels.words], [0xff010203]);
  });

  test('an index without a pointer, one too high, bytes cut short', () => {
    const { screen, pointers } = setup();
    assert.throws(() => pointers.cached(hex('0500')), decodeError('invalid'));
    assert.throws(() => pointers.color(attribute('0001'), palette), decodeError('limit'));
    assert.throws(() => pointers.color(attribute('0000').subarray(0, 16), palette), decodeError('truncated'));
    assert.equal(screen.pointer.shape, null);
  });

  test('a restored snapshot knows the cache', () => {
    const { pointers } = setup();
    pointers.color(attribute('0100'), palette);
    const copy = setup();
    copy.pointers.color(attribute('0700'), palette);
    copy.pointers.restore(structuredClone(pointers.snapshot()));
    copy.pointers.cached(hex('0100'));
    assert.deepEqual([...copy.screen.pointer.shape!.pixels.words], [0xff0a0b0c]);
    assert.throws(() => copy.pointers.cached(hex('0700')), decodeError('invalid'));
  });
});
