import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DecodeError, Reader } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { createPalette, type PixelDepth } from '../src/bitmap/index.ts';
import { type Rectangle, Screen } from '../src/index.ts';
import { type OrderColors, OrdersDecoder } from '../src/orders/index.ts';
import { rop3, rop3OfRop2, usesPattern, usesSource } from '../src/orders/rop.ts';
import { FrameCounter } from '../src/session/frame-counter.ts';
import { decodeExtendedBitmap, readExtendedBitmap } from '../src/session/surface-commands.ts';

const hex = (digits: string) => Uint8Array.from(Buffer.from(digits.replace(/\s+/g, ''), 'hex'));
const ground = 0xff101010;
const white = 0xffffffff;
const black = 0xff000000;

interface Desk {
  screen: Screen;
  orders: OrdersDecoder;
  /** Decodes orders given in hex as one update. */
  draw(...orders: string[]): void;
  at(x: number, y: number): number;
  /** The rectangle of all pixels that are not ground. */
  drawn(): Rectangle | null;
}

function desk(width = 64, height = 48, depth: PixelDepth = 24): Desk {
  const screen = new Screen(width, height);
  screen.pixels.words.fill(ground);
  const orders = new OrdersDecoder(screen, new FrameCounter(screen), (reader) =>
    decodeExtendedBitmap(readExtendedBitmap(reader), 'raw'),
  );
  orders.limits.offscreenEntries = 100;
  const palette = createPalette();
  palette[1] = 0xff112233;
  palette[2] = 0xff445566;
  const colors: OrderColors = { palette, depth };
  return {
    screen,
    orders,
    draw: (...list) => orders.decode(new Reader(hex(list.join(''))), list.length, colors),
    at: (x, y) => screen.pixels.words[y * screen.width + x]!,
    drawn: () => {
      const places = [...screen.pixels.words.keys()].filter((at) => screen.pixels.words[at] !== ground);
      if (places.length === 0) return null;
      const xs = places.map((at) => at % screen.width);
      const ys = places.map((at) => Math.floor(at / screen.width));
      const left = Math.min(...xs);
      const top = Math.min(...ys);
      return { left, top, width: Math.max(...xs) - left + 1, height: Math.max(...ys) - top + 1 };
    },
  };
}

const u16 = (value: number) => Buffer.from(Uint16Array.of(value & 0xffff).buffer).toString('hex');
const u8 = (value: number) => (value & 0xff).toString(16).padStart(2, '0');

/** A primary order with all its fields: `fields` in hex, `count` of them. */
function primary(type: number, count: number, fields: string): string {
  const flags = (2 ** count - 1) >>> 0;
  const bytes = Array.from({ length: (count >> 3) + 1 }, (_, index) => u8(flags >>> (index * 8))).join('');
  return `09${u8(type)}${bytes}${fields}`;
}

const rectangle = (left: number, top: number, width: number, height: number) =>
  [left, top, width, height].map(u16).join('');
const opaqueRect = (left: number, top: number, width: number, height: number, rgb: string) =>
  primary(0x0a, 7, `${rectangle(left, top, width, height)} ${rgb}`);
const patBlt = (area: string, rop: string, brush: string) => primary(0x01, 12, `${area} ${rop} ${brush}`);
/** Cache Bitmap (Revision 2) of 24 bpp, not compressed, with rows already bottom-up. */
/** A secondary order around its body. */
function secondary(type: number, flags: number, body: string): string {
  const length = body.replace(/\s+/g, '').length / 2;
  return `03${u16(length - 7)}${u16(flags)}${u8(type)}${body}`;
}
function cacheBitmap(cacheId: number, index: number, width: number, height: number, rows: string): string {
  const bytes = rows.replace(/\s+/g, '').length / 2;
  const body = `${u8(width)}${u8(height)}${u8(bytes)}${u8(index)}${rows}`;
  return secondary(0x04, cacheId | (5 << 3), body);
}
const memBlt = (cacheId: number, area: string, rop: string, x: number, y: number, index: number) =>
  primary(0x0d, 9, `${u16(cacheId)} ${area} ${rop} ${u16(x)} ${u16(y)} ${u16(index)}`);

describe('raster operations', () => {
  test('every ternary operation is its truth table', () => {
    for (let index = 0; index < 256; index += 1)
      for (let term = 0; term < 8; term += 1) {
        const operand = (bit: number) => (term & bit ? -1 : 0);
        const result = rop3(index)(operand(1), operand(2), operand(4));
        assert.equal(result & 1, (index >> term) & 1, `operation ${index}, term ${term}`);
      }
  });

  test('which operands count', () => {
    assert.deepEqual([usesSource(0xcc), usesPattern(0xcc)], [true, false]);
    assert.deepEqual([usesSource(0xf0), usesPattern(0xf0)], [false, true]);
    assert.deepEqual([usesSource(0x55), usesPattern(0x55)], [false, false]);
    assert.deepEqual([usesSource(0xb8), usesPattern(0xb8)], [true, true]);
  });

  test('binary operations are ternary ones without source', () => {
    const known: [number, number][] = [
      [0x01, 0x00],
      [0x04, 0x0f],
      [0x06, 0x55],
      [0x07, 0x5a],
      [0x09, 0xa0],
      [0x0b, 0xaa],
      [0x0d, 0xf0],
      [0x0f, 0xfa],
      [0x10, 0xff],
    ];
    for (const [rop2, index] of known) assert.equal(rop3OfRop2(rop2), index);
  });
});

describe('the annotated examples of [MS-RDPEGDI] 4.1', () => {
  test('DstBlt 4.1.1: width and height, the rest as before (blackness at 0, 0)', () => {
    const { draw, drawn, at } = desk(100, 400);
    draw('09000c48003701');
    assert.deepEqual(drawn(), { left: 0, top: 0, width: 72, height: 311 });
    assert.equal(at(71, 310), black);
  });

  test('MultiDstBlt 4.1.2 paints the rectangles inside the order’s own', () => {
    const { draw, at, screen } = desk(900, 600);
    draw('090f7f12012d01a0000c0055020d00048112812d80580c806080400c');
    assert.equal(at(0x112, 0x12d), 0xffefefef, 'inverted');
    const inverted = screen.pixels.words.filter((word) => word !== ground).length;
    assert.equal(inverted, 0x58 * 12 + 0x40 * 12);
  });

  test('PatBlt 4.1.3 with a cached brush', () => {
    const { draw, at, drawn, screen } = desk(300, 500);
    draw('030700000007000108088108aa55aa55aa55aa55', '09017f021a00c3010d000d00f0ffff005bef0081');
    assert.deepEqual([...screen.unsupported], []);
    assert.deepEqual(drawn(), { left: 26, top: 451, width: 13, height: 13 });
    assert.deepEqual(new Set([at(26, 451), at(27, 451)]), new Set([0xff00ffff, 0xff00ef5b]));
    assert.notEqual(at(26, 451), at(26, 452));
  });

  test('MultiPatBlt 4.1.4', () => {
    const { draw, at, screen } = desk(900, 700);
    draw('0910df31e400b7000e02c5015affff00aeb2041900084080e480b7820e1b1b810732813980d532fec732820e8178');
    assert.deepEqual([...screen.unsupported], []);
    // The pattern xored with the ground, first rectangle's first pixel.
    assert.notEqual(at(0xe4, 0xb7), ground);
    assert.equal(at(0xe4 - 1, 0xb7), ground);
  });

  test('OpaqueRect 4.1.5 and MultiOpaqueRect 4.1.6', () => {
    const { draw, at, screen } = desk(700, 400);
    draw('0912bf0187011c01f10012005cef04160008408187811c80f10101011080f00110ff101080f101');
    const count = screen.pixels.words.filter((word) => word === 0xff00ef5c).length;
    assert.equal(count, 241 + 16 + 16 + 241);
    assert.equal(at(391, 284), 0xff00ef5c);
    assert.equal(at(631, 301), 0xff00ef5c);
    assert.equal(at(392, 285), ground);
  });

  test('ScrBlt 4.1.7: width, height and source, the top as before', () => {
    const { draw, at } = desk(800, 600);
    draw(opaqueRect(0x12f, 0x8e, 10, 10, 'aabbcc'));
    draw('09027d0700a101f100cc2f018e00');
    assert.deepEqual([at(7, 0), at(16, 9), at(17, 0)], [0xffccbbaa, 0xffccbbaa, ground]);
  });

  test('LineTo 4.1.11: delta coordinates, a bound and colours', () => {
    const { draw, drawn, screen } = desk(1000, 1000);
    draw('1d091e02a53d031a4a031b03b10ea65bef00');
    assert.deepEqual([...screen.unsupported], []);
    assert.equal(drawn(), null, 'outside its bounds');
  });

  test('DrawNineGrid 4.1.21 and 4.1.22 are counted', () => {
    const { draw, screen } = desk();
    draw('1d071c87390386004e037dfbf90d00', '1d087c039b007cfe0302a40001050040809b051a');
    assert.deepEqual(
      [...screen.unsupported],
      [
        ['order.drawNineGrid', 1],
        ['order.multiDrawNineGrid', 1],
      ],
    );
  });

  test('FastGlyph 4.1.15 caches and draws the letter h', () => {
    const { draw, at, screen } = desk(300, 250);
    draw(
      '0d18fb7e0f8b00b1002c04bd00060003ffff008b00b1009300be000d00fe7f00800080bb001300014a060a808080b8c4848484848400006800',
    );
    assert.deepEqual([...screen.unsupported], []);
    const rows = Array.from({ length: 10 }, (_, row) =>
      Array.from({ length: 6 }, (_, x) => (at(139 + 1 + x, 187 - 10 + row) === black ? 'X' : '.')).join(''),
    );
    const expected = [
      'X.....',
      'X.....',
      'X.....',
      'X.XXX.',
      'XX...X',
      'X....X',
      'X....X',
      'X....X',
      'X....X',
      'X....X',
    ];
    assert.deepEqual(rows, expected);
    // The opaque rectangle reaches the right end within the bounds (bottom inclusive 189).
    assert.equal(at(299, 177), 0xff00ffff);
    assert.equal(at(299, 189), 0xff00ffff);
    assert.equal(at(299, 190), ground);
    assert.equal(at(138, 180), ground);
  });

  test('PolygonCB 4.1.17: a bar with a monochrome brush', () => {
    const { draw, at, screen } = desk(400, 400);
    draw('030700000007080108088108aa55aa55aa55aa55');
    draw('0915ef1bea0046010d010800000403810803058809260977');
    assert.deepEqual([...screen.unsupported], []);
    const count = screen.pixels.words.filter((word) => word === 0xff000008 || word === black).length;
    // (234, 326), (234, 335), (272, 344), (272, 335): 38 columns of 9 rows.
    assert.equal(count, 38 * 9);
    assert.notEqual(at(234, 327), ground);
    assert.equal(at(272, 343), ground);
  });

  test('EllipseSC 4.1.19, within bounds whose right side is as before', () => {
    const { draw, at, screen } = desk(1100, 600);
    draw(`0d0a7f 0f ${u16(0)}${u16(0)}${u16(1050)}${u16(0)} ${rectangle(0, 0, 0, 0)} 000000`);
    draw('0d197f29ca00fb3c02ca004701eb033c020d02c02100');
    assert.deepEqual([...screen.unsupported], []);
    const middle = { x: (0xca + 0x3eb) >> 1, y: (0x147 + 0x23c) >> 1 };
    assert.equal(at(middle.x, middle.y), 0xff0021c0);
    assert.equal(at(middle.x, 0x147), 0xff0021c0);
    assert.equal(at(middle.x, 0x146), ground);
    assert.equal(at(0xca, 0x147), ground);
  });

  test('the examples of 4.2 and 4.3 fill caches and switch surfaces', () => {
    const { draw, screen } = desk();
    draw(
      '033700100003070331000000f8ff05000800c0c0c0c0c0c0c0f832000000faff060008007ccccccccc7c0c7833000000f8ff070008007cc6c6c6c6c6c67c4c0067004f00',
      '0304003701033400490303a0a0a0002200',
      '030700000007000108088108aa55aa55aa55aa55',
      '0600806001100001000200',
      '02ffff',
    );
    assert.deepEqual([...screen.unsupported], []);
  });
});

describe('primary orders', () => {
  test('control flags: type change, deltas, zero field bytes', () => {
    const { draw, at, screen } = desk();
    draw(
      opaqueRect(2, 2, 3, 3, '010203'),
      // Same type: left + 10, top + 5 as deltas.
      '1103 0a 05',
      // No field flags at all: the same once more.
      '41',
      // Another type and back.
      primary(0x00, 5, `${rectangle(0, 0, 1, 1)} ff`),
      '090a40 ff',
    );
    assert.deepEqual([...screen.unsupported], []);
    assert.equal(at(12, 7), 0xffff0201, 'the fields of its type are as before, but for blue');
    assert.equal(at(0, 0), white);
  });

  test('bounds clip, absolute and as differences, and are kept', () => {
    const { draw, drawn } = desk();
    const fill = `${rectangle(0, 0, 64, 48)} ffffff`;
    draw(`0d0a7f 0f ${u16(10)}${u16(11)}${u16(20)}${u16(21)} ${fill}`);
    assert.deepEqual(drawn(), { left: 10, top: 11, width: 11, height: 11 });
    const moved = desk();
    moved.draw(`0d0a7f 0f ${u16(10)}${u16(11)}${u16(20)}${u16(21)} ${fill}`);
    moved.screen.pixels.words.fill(ground);
    moved.draw('0500 f0 05 06 07 08');
    assert.deepEqual(moved.drawn(), { left: 15, top: 17, width: 13, height: 13 });
  });

  test('zero bounds deltas use the last bounds', () => {
    const { draw, drawn, screen } = desk();
    draw(`0d0a7f 0f ${u16(1)}${u16(1)}${u16(2)}${u16(2)} ${rectangle(0, 0, 64, 48)} ffffff`);
    screen.pixels.words.fill(ground);
    draw('2500');
    assert.deepEqual(drawn(), { left: 1, top: 1, width: 2, height: 2 });
  });

  test('PatBlt with every brush', () => {
    const area = rectangle(0, 0, 8, 8);
    const back = '0000ff';
    const fore = '00ff00';
    const cases: [string, string, (at: Desk['at']) => void][] = [
      ['solid', `${back} ${fore} 00 00 00 00 00000000000000`, (at) => assert.equal(at(3, 3), 0xff00ff00)],
      ['hollow', `${back} ${fore} 00 00 01 00 00000000000000`, (at) => assert.equal(at(3, 3), ground)],
      [
        'horizontal hatch',
        `${back} ${fore} 00 00 02 00 00000000000000`,
        (at) => assert.deepEqual([at(0, 3), at(0, 2)], [0xff00ff00, 0xffff0000]),
      ],
      [
        'pattern: set bits are background, rows from the bottom',
        `${back} ${fore} 00 00 03 ff 00000000000001`,
        (at) => assert.deepEqual([at(0, 7), at(7, 0), at(0, 0)], [0xffff0000, 0xffff0000, 0xff00ff00]),
      ],
      [
        'pattern with an origin',
        `${back} ${fore} 01 02 03 00 00000000000080`,
        (at) => assert.deepEqual([at(1, 2), at(0, 0)], [0xffff0000, 0xff00ff00]),
      ],
    ];
    for (const [name, brush, check] of cases) {
      const { draw, at, screen } = desk();
      draw(patBlt(area, 'f0', brush));
      assert.deepEqual([...screen.unsupported], [], name);
      check(at);
    }
    const { draw, screen } = desk();
    draw(patBlt(area, 'f0', `${back} ${fore} 00 00 02 06 00000000000000`));
    draw(patBlt(area, 'f0', `${back} ${fore} 00 00 04 00 00000000000000`));
    draw(patBlt(area, 'f0', `${back} ${fore} 00 00 81 05 00000000000000`));
    assert.deepEqual([...screen.unsupported], [['order.patBlt.invalid', 3]]);
  });

  test('colours of 8 and 16 bpp sessions are native pixels', () => {
    const palettized = desk(8, 8, 8);
    palettized.draw(opaqueRect(0, 0, 1, 1, '010000'));
    assert.equal(palettized.at(0, 0), 0xff112233);
    const high = desk(8, 8, 16);
    high.draw(opaqueRect(0, 0, 1, 1, '00f800'));
    assert.equal(high.at(0, 0), 0xff0000ff);
  });

  test('ScrBlt and MultiScrBlt move the screen, overlapping', () => {
    const { draw, at } = desk();
    draw(opaqueRect(0, 0, 4, 4, '010203'), primary(0x02, 7, `${rectangle(2, 2, 4, 4)} cc ${u16(0)} ${u16(0)}`));
    assert.equal(at(5, 5), 0xff030201);
    const many = desk();
    many.draw(opaqueRect(0, 0, 1, 10, '010203'), opaqueRect(0, 10, 1, 10, '040506'));
    // Two parts of a scroll downwards by five, the lower first drawn over what the upper reads.
    many.draw(
      primary(0x11, 9, `${rectangle(0, 5, 1, 15)} cc ${u16(0)} ${u16(0)} 02 ${u16(9)} 00 00 05 01 05 00 05 01 05`),
    );
    assert.equal(many.at(0, 5), 0xff030201);
    assert.equal(many.at(0, 14), 0xff030201);
    assert.equal(many.at(0, 15), 0xff060504, 'not part of either rectangle');
  });

  test('a combining operation reads the screen as it was', () => {
    const { draw, at } = desk();
    draw(opaqueRect(0, 0, 1, 1, 'ffffff'), opaqueRect(1, 0, 3, 1, '000000'));
    // Destination 1–3 or source 0–2: only the neighbour of white turns white.
    draw(primary(0x02, 7, `${rectangle(1, 0, 3, 1)} ee ${u16(0)} ${u16(0)}`));
    assert.deepEqual([at(1, 0), at(2, 0), at(3, 0)], [white, black, black]);
  });

  test('MemBlt and Mem3Blt from bitmap caches', () => {
    const { draw, at, screen } = desk();
    // Two rows bottom-up, padded to four bytes: top row white, red; bottom row black, blue.
    draw(cacheBitmap(1, 7, 2, 2, '000000 ff0000 0000 ffffff 0000ff 0000'));
    draw(memBlt(1, rectangle(10, 10, 2, 2), 'cc', 0, 0, 7));
    assert.deepEqual([at(10, 10), at(11, 10), at(10, 11), at(11, 11)], [white, 0xff0000ff, black, 0xffff0000]);
    draw(memBlt(1, rectangle(20, 10, 9, 9), 'cc', 1, 0, 7));
    assert.equal(at(20, 10), 0xff0000ff);
    assert.equal(at(21, 10), ground, 'nothing beyond the bitmap');
    const brush = '000000 00ff00 00 00 00 00 00000000000000';
    draw(primary(0x0e, 16, `${u16(1)} ${rectangle(30, 10, 2, 2)} b8 ${u16(0)} ${u16(0)} ${brush} ${u16(7)}`));
    // 0xb8: white of the source keeps the destination, black gives the pattern.
    assert.deepEqual([at(30, 10), at(30, 11)], [ground, 0xff00ff00]);
    draw(memBlt(1, rectangle(0, 0, 2, 2), 'cc', 0, 0, 8), memBlt(9, rectangle(0, 0, 2, 2), 'cc', 0, 0, 0));
    assert.deepEqual([...screen.unsupported], [['order.memBlt.invalid', 2]]);
  });

  test('lines in all directions leave out their end', () => {
    const line = (fromX: number, fromY: number, toX: number, toY: number) =>
      primary(0x09, 10, `${u16(1)} ${[fromX, fromY, toX, toY].map(u16).join('')} 000000 0d 00 01 ffffff`);
    const { draw, at, drawn } = desk();
    draw(line(5, 5, 9, 5));
    assert.deepEqual([at(5, 5), at(8, 5), at(9, 5)], [white, white, ground]);
    draw(line(20, 20, 16, 16));
    assert.deepEqual([at(20, 20), at(17, 17), at(16, 16)], [white, white, ground]);
    const steep = desk();
    steep.draw(line(10, 10, 12, 20));
    assert.deepEqual(steep.drawn(), { left: 10, top: 10, width: 3, height: 10 });
    draw(line(3, 3, 3, 3), line(-30000, -30000, 30000, 30000));
    assert.equal(at(3, 3), white, 'of the line across');
    assert.ok(drawn());
  });

  test('polylines, polygons by both rules, ellipses', () => {
    const { draw, at, screen } = desk();
    draw(primary(0x16, 7, `${u16(0)} ${u16(0)} 0d 0000 ffffff 02 03 60 0a 0a`));
    assert.deepEqual([at(9, 0), at(10, 5), at(10, 10)], [white, white, ground]);
    // A square wound twice: alternate leaves it, winding fills it. Deltas: right, down, left, up, right, down, left.
    const twice = '07 09 6664 0a 0a 76 76 0a 0a 76';
    const polygon = (mode: string) => primary(0x14, 7, `${u16(20)} ${u16(20)} 0d ${mode} ff0000 ${twice}`);
    draw(polygon('01'));
    assert.equal(at(25, 25), ground);
    draw(polygon('02'));
    assert.equal(at(25, 25), 0xff0000ff);
    assert.equal(at(30, 25), ground);
    draw(primary(0x19, 7, `${u16(40)}${u16(10)}${u16(49)}${u16(19)} 0d 01 00ff00`));
    assert.deepEqual([at(45, 10), at(40, 14), at(49, 15), at(40, 10)], [0xff00ff00, 0xff00ff00, 0xff00ff00, ground]);
    draw(primary(0x19, 7, `${u16(40)}${u16(30)}${u16(49)}${u16(39)} 0d 00 00ff00`));
    assert.deepEqual([at(45, 30), at(40, 34), at(45, 35), at(45, 39)], [0xff00ff00, 0xff00ff00, ground, 0xff00ff00]);
    draw(primary(0x1a, 13, `${u16(2)}${u16(30)}${u16(9)}${u16(37)} 8d 01 0000ff 00ff00 00 00 02 00 00000000000000`));
    assert.deepEqual([at(5, 35), at(5, 34)], [0xff00ff00, ground], 'a hatch without background');
    assert.deepEqual([...screen.unsupported], []);
    draw(primary(0x19, 7, `${u16(9)}${u16(9)}${u16(2)}${u16(2)} 0d 01 00ff00`));
    draw(primary(0x19, 7, `${u16(60)}${u16(5)}${u16(60)}${u16(5)} 0d 01 00ff00`));
    assert.equal(at(60, 5), 0xff00ff00, 'an ellipse of one pixel');
  });

  test('an outline has no gaps', () => {
    const { draw, at } = desk();
    draw(primary(0x19, 7, `${u16(5)}${u16(5)}${u16(44)}${u16(14)} 0d 00 ffffff`));
    for (let x = 5; x <= 44; x += 1) {
      const column = Array.from({ length: 48 }, (_, y) => y).filter((y) => at(x, y) === white);
      assert.ok(column.length >= 2 || x === 5 || x === 44, `column ${x}`);
    }
  });

  test('SaveBitmap saves and restores', () => {
    const { draw, at, screen } = desk();
    const save = (operation: string, position = 0) =>
      primary(0x0b, 6, `${u16(position)}0000 ${u16(2)}${u16(2)}${u16(5)}${u16(5)} ${operation}`);
    draw(opaqueRect(2, 2, 4, 4, '010203'), save('00'), opaqueRect(0, 0, 20, 20, '000000'), save('01'));
    assert.deepEqual([at(2, 2), at(5, 5), at(6, 6)], [0xff030201, 0xff030201, black]);
    draw(save('01', 99));
    assert.deepEqual([...screen.unsupported], [['order.saveBitmap.invalid', 1]]);
    const huge = primary(0x0b, 6, `00000000 ${u16(0)}${u16(0)}${u16(5000)}${u16(5000)} 00`);
    draw(huge);
    assert.equal(screen.unsupported.get('order.saveBitmap.limit'), 1);
  });

  test('an operation that lacks its operand is counted', () => {
    const { draw, screen } = desk();
    draw(primary(0x00, 5, `${rectangle(0, 0, 2, 2)} cc`), primary(0x00, 5, `${rectangle(0, 0, 2, 2)} f0`));
    assert.deepEqual([...screen.unsupported], [['order.dstBlt.invalid', 2]]);
  });

  test('orders that would paint the screen for ever are given up', () => {
    const { draw, screen } = desk(1024, 1024);
    const fill = opaqueRect(0, 0, 1024, 1024, 'ffffff');
    draw(fill, ...new Array(160).fill('41'));
    assert.ok((screen.unsupported.get('order.opaqueRect.limit') ?? 0) > 10);
  });
});

describe('text', () => {
  const glyphs =
    '033700100003070331000000f8ff05000800c0c0c0c0c0c0c0f832000000faff060008007ccccccccc7c0c7833000000f8ff070008007cc6c6c6c6c6c67c4c0067004f00';
  const text = (flags: string, increment: string, redundant: string, bytes: string) => {
    const corners = [10, 10, 60, 30].map(u16).join('');
    const data = `${u8(bytes.replace(/\s+/g, '').length / 2)}${bytes}`;
    const brush = '00 00 00 00 00000000000000';
    return primary(
      0x1b,
      22,
      `07 ${flags} ${increment} ${redundant} ffffff 0000ff ${corners} ${corners} ${brush} ${u16(12)} ${u16(20)} ${data}`,
    );
  };
  const columns = (at: Desk['at']) =>
    Array.from({ length: 64 }, (_, x) => x).filter((x) =>
      Array.from({ length: 48 }, (_, y) => at(x, y)).includes(white),
    );

  test('GlyphIndex draws an opaque rectangle and glyphs, each with its distance', () => {
    const { draw, at, screen } = desk();
    draw(glyphs, text('03', '00', '00', '31 00 32 07 33 80 07 00'));
    assert.deepEqual([...screen.unsupported], []);
    assert.equal(at(10, 10), 0xffff0000);
    assert.equal(at(60, 30), ground);
    assert.deepEqual(columns(at), [12, 13, 14, 15, 16, 19, 20, 21, 22, 23, 24, 26, 27, 28, 29, 30, 31, 32]);
  });

  test('transparent text leaves the ground', () => {
    const { draw, at } = desk();
    draw(glyphs, text('03', '00', '01', '31 00'));
    assert.equal(at(10, 10), ground);
    assert.equal(at(12, 12), white);
  });

  test('fixed advance, advance by bitmap, vertical', () => {
    const fixed = desk();
    fixed.draw(glyphs, text('03', '0a', '01', '31 31'));
    assert.deepEqual([fixed.at(12, 12), fixed.at(22, 12)], [white, white]);
    const byBitmap = desk();
    byBitmap.draw(glyphs, text('23', '00', '01', '31 31'));
    assert.deepEqual([byBitmap.at(12, 12), byBitmap.at(17, 12)], [white, white]);
    const vertical = desk();
    vertical.draw(glyphs, text('05', '09', '01', '31 31'));
    assert.deepEqual([vertical.at(12, 12), vertical.at(12, 21)], [white, white]);
  });

  test('fragments are stored and used', () => {
    const { draw, at, screen } = desk();
    draw(glyphs, text('03', '00', '01', '31 00 31 08 ff 05 04'), text('03', '00', '01', 'fe 05 14'));
    assert.deepEqual([...screen.unsupported], []);
    assert.deepEqual([at(12, 12), at(20, 12), at(32, 12), at(40, 12)], [white, white, white, white]);
    draw(text('03', '00', '01', 'fe 06 00'), text('03', '00', '01', '99 00'), text('03', '00', '01', 'fe'));
    assert.deepEqual(
      [...screen.unsupported],
      [
        ['order.glyphIndex.invalid', 2],
        ['order.glyphIndex.truncated', 1],
      ],
    );
  });

  test('FastIndex takes sides of its opaque rectangle from the background', () => {
    const { draw, at, screen } = desk();
    const fields = (opaque: number[], x: number) =>
      `07 ${u16(0x0300)} ffffff 0000ff ${[10, 10, 40, 30].map(u16).join('')} ${opaque.map(u16).join('')} ${u16(x)} ${u16(20)} 02 3100`;
    draw(glyphs, primary(0x13, 15, fields([0, 0x0f, 0, -32768], -32768)));
    assert.deepEqual([...screen.unsupported], []);
    assert.deepEqual([at(39, 29), at(40, 30), at(10, 12)], [0xffff0000, ground, white]);
    const plain = desk();
    plain.draw(glyphs, primary(0x13, 15, fields([12, 12, 20, 22], 12)));
    assert.deepEqual([plain.at(19, 21), plain.at(11, 12)], [0xffff0000, ground]);
  });

  test('FastGlyph by index', () => {
    const { draw, at, screen } = desk();
    const fields = `07 ${u16(0x0300)} ffffff 0000ff ${[10, 10, 40, 30].map(u16).join('')} ${[0, 0, 0, 0].map(u16).join('')} ${u16(12)} ${u16(20)}`;
    draw(glyphs, primary(0x18, 15, `${fields} 01 31`));
    assert.equal(at(12, 12), white);
    draw(primary(0x18, 15, `${fields} 00`));
    assert.deepEqual([...screen.unsupported], [['order.fastGlyph.truncated', 1]]);
  });
});

describe('caches', () => {
  test('Cache Bitmap revisions 1 and 2, compressed, with headers and keys, and 3', () => {
    const { draw, at, screen } = desk();
    // Revision 1, 24 bpp interleaved: one colour run of four pixels; without and with the eight bytes of header.
    draw(secondary(0x02, 0x0400, '00 00 02 02 18 0400 0100 64 010203'));
    draw(memBlt(0, rectangle(0, 0, 2, 2), 'cc', 0, 0, 1));
    assert.equal(at(1, 1), 0xff010203);
    draw(secondary(0x02, 0, '00 00 02 02 18 0c00 0200 0000000000000000 64 040506'));
    draw(memBlt(0, rectangle(2, 0, 2, 2), 'cc', 0, 0, 2));
    assert.equal(at(3, 1), 0xff040506);
    // Revision 2: same height as width, a persistent key, a header, not to be kept.
    const flags = 2 | (5 << 3) | ((0x01 | 0x02 | 0x10) << 7);
    draw(secondary(0x05, flags, '0102030405060708 02 0c ffff 0000000000000000 64 070809'));
    draw(memBlt(2, rectangle(4, 0, 2, 2), 'cc', 0, 0, 32767));
    assert.equal(at(5, 1), 0xff070809);
    // A longer bitmap has a length of two bytes, an index above 127 too; 16 bpp, not compressed.
    const pixels = 'ffff'.repeat(64);
    draw(secondary(0x04, 2 | (4 << 3), `08 08 4080 8081 ${pixels}`));
    draw(memBlt(2, rectangle(20, 20, 8, 8), 'cc', 0, 0, 0x81));
    assert.equal(at(27, 27), white);
    // Revision 3, raw, bottom-up.
    const extended = `20 00 00 00 ${u16(1)}${u16(1)} 04000000 0a0b0c00`;
    draw(secondary(0x08, 3 | (6 << 3), `0300 0000000000000000 ${extended}`));
    draw(memBlt(3, rectangle(6, 0, 1, 1), 'cc', 0, 0, 3));
    assert.equal(at(6, 0), 0xff0a0b0c);
    draw(secondary(0x08, 3 | (6 << 3) | (0x10 << 7), `0400 0000000000000000 ${extended}`));
    draw(memBlt(3, rectangle(7, 0, 1, 1), 'cc', 0, 0, 32767));
    assert.equal(at(7, 0), 0xff0a0b0c);
    assert.deepEqual([...screen.unsupported], []);
  });

  test('8 bpp bitmaps take the cached colour table', () => {
    const { draw, at, screen } = desk(8, 8, 8);
    draw(secondary(0x01, 0, '00 0200 00000000 0c0b0a00'));
    draw(secondary(0x00, 0, '00 00 04 01 08 0400 0000 01010000'));
    draw(memBlt(0, rectangle(0, 0, 4, 1), 'cc', 0, 0, 0));
    assert.deepEqual([...screen.unsupported], []);
    assert.deepEqual([at(0, 0), at(2, 0)], [0xff0c0b0a, black]);
    draw(secondary(0x01, 0, '06 0100 00000000'), secondary(0x01, 0, '00 0101'));
    assert.deepEqual(
      [...screen.unsupported],
      [
        ['order.cache.invalid', 1],
        ['order.cache.limit', 1],
      ],
    );
  });

  test('colour brushes, compressed and not', () => {
    const { draw, at, screen } = desk();
    const indices = '1b'.repeat(16);
    draw(`03${u16(6 + 28 - 7)}000007 01 05 08 08 00 1c ${indices} 000000 0000ff 00ff00 ff0000`);
    draw(patBlt(rectangle(0, 0, 8, 8), 'f0', '000000 000000 00 00 85 01 00000000000000'));
    assert.deepEqual([at(0, 0), at(1, 0), at(2, 0), at(3, 0)], [black, 0xff0000ff, 0xff00ff00, 0xffff0000]);
    draw(`03${u16(6 + 192 - 7)}000007 02 05 08 08 00 c0 ${'010203'.repeat(64)}`);
    draw(patBlt(rectangle(0, 0, 8, 8), 'f0', '000000 000000 00 00 85 02 00000000000000'));
    assert.equal(at(5, 5), 0xff010203);
    assert.deepEqual([...screen.unsupported], []);
    draw(`03${u16(6 + 8 - 7)}000007 40 01 08 08 00 08 ${'00'.repeat(8)}`);
    draw(`03${u16(6 - 7)}000007 01 01 10 08 00 00`, `03${u16(6 - 7)}000007 01 01 08 08 00 00`);
    draw(`03${u16(6 - 7)}000007 01 05 08 08 00 00`, `03${u16(6 - 7)}000007 01 02 08 08 00 00`);
    assert.deepEqual(
      [...screen.unsupported],
      [
        ['order.cache.invalid', 2],
        ['order.cache.unsupported', 1],
        ['order.cache.truncated', 2],
      ],
    );
  });

  test('indices beyond what the client announced are refused', () => {
    const { draw, orders, screen } = desk();
    orders.limits.bitmapEntries = [4];
    draw(cacheBitmap(0, 4, 1, 1, '000000 00'), cacheBitmap(1, 0, 1, 1, '000000 00'));
    orders.limits.glyphEntries = [1];
    draw('0304003701033400490303a0a0a0002200');
    assert.deepEqual([...screen.unsupported], [['order.cache.invalid', 3]]);
    draw(secondary(0x06, 0, '00'));
    assert.equal(screen.unsupported.get('order.secondary'), 1);
  });

  test('offscreen bitmaps are drawn on and from', () => {
    const { draw, at, screen } = desk();
    const create = (id: number, width: number, height: number) => `06${u16(id)}${u16(width)}${u16(height)}`;
    draw(create(1, 8, 8), '020100', opaqueRect(0, 0, 4, 4, '010203'), '02ffff');
    assert.equal(at(0, 0), ground, 'not on the screen');
    draw(memBlt(0xff, rectangle(10, 10, 8, 8), 'cc', 0, 0, 1));
    assert.deepEqual([at(10, 10), at(14, 14)], [0xff030201, black]);
    assert.deepEqual([...screen.unsupported], []);
  });

  test('orders for an offscreen bitmap that is not there are dropped and counted, up to the next switch', () => {
    const create = (id: number, width: number, height: number) => `06${u16(id)}${u16(width)}${u16(height)}`;
    const deleting = (id: number) => `06${u16(0x8002)}${u16(2)}${u16(2)} ${u16(1)} ${u16(id)}`;
    const cases: [string, string[]][] = [
      ['never made', ['020900']],
      ['deleted while it is drawn on', [create(1, 8, 8), '020100', deleting(1)]],
      ['deleted before', [create(1, 8, 8), deleting(1), '020100']],
      ['too large to be made, drawn on before', [create(3, 8, 8), '020300', create(3, 9000, 9000)]],
      ['too large to be made', [create(3, 8, 8), create(3, 9000, 9000), '020300']],
    ];
    for (const [what, orders] of cases) {
      const { draw, at, screen } = desk();
      draw(...orders, opaqueRect(0, 0, 4, 4, '010203'));
      assert.equal(screen.unsupported.get('order.missingSurface'), 1, what);
      // Also in the update behind, and until it exists again.
      draw(opaqueRect(0, 0, 4, 4, '010203'), opaqueRect(8, 8, 4, 4, '010203'));
      assert.equal(screen.unsupported.get('order.missingSurface'), 3, what);
      assert.equal(at(0, 0), ground, what);
      draw('02ffff', opaqueRect(0, 0, 4, 4, '010203'));
      assert.equal(at(0, 0), 0xff030201, what);
      assert.equal(screen.unsupported.get('order.missingSurface'), 3, what);
    }
  });

  test('an index made anew is drawn on at once', () => {
    const { draw, at, screen } = desk();
    draw('020900', `06${u16(9)}${u16(8)}${u16(8)}`, opaqueRect(0, 0, 8, 8, '010203'), '02ffff');
    draw(memBlt(0xff, rectangle(10, 10, 8, 8), 'cc', 0, 0, 9));
    assert.equal(at(10, 10), 0xff030201);
    assert.deepEqual([...screen.unsupported], [['order.switchSurface.missing', 1]]);
  });

  test('entry 32767 of a bitmap cache is the last one not kept, of the offscreen cache it is the screen', () => {
    const { draw, at, screen } = desk();
    draw(opaqueRect(0, 0, 4, 4, '010203'), memBlt(0xff, rectangle(20, 20, 4, 4), 'cc', 0, 0, 32767));
    assert.equal(at(20, 20), 0xff030201);
    draw(memBlt(0xff, rectangle(30, 20, 4, 4), 'cc', 0, 0, 0xffff));
    assert.equal(at(30, 20), 0xff030201);
    draw(memBlt(0, rectangle(20, 20, 4, 4), 'cc', 0, 0, 32767));
    assert.deepEqual([...screen.unsupported], [['order.memBlt.invalid', 1]], 'nothing was sent for the cache');
  });

  test('the caches hold only so many pixels', () => {
    const { draw, screen } = desk();
    const create = (id: number) => `06${u16(id)}${u16(4096)}${u16(4096)}`;
    draw(create(0), create(1), create(2));
    assert.deepEqual([...screen.unsupported], [['order.offscreen.limit', 1]]);
    draw(`06${u16(0x8001)}${u16(1)}${u16(1)} ${u16(1)} ${u16(0)}`, create(2));
    assert.deepEqual([...screen.unsupported], [['order.offscreen.limit', 1]], 'room again');
  });
});

describe('alternate secondary orders', () => {
  test('those not drawn are skipped by their lengths and counted; frames are counted', () => {
    const { draw, at, screen } = desk();
    draw(
      '122041000800ab010500000000000700070002000100 0000',
      '0a 07 20 0100 0400 1e00 02000000 0100 aa',
      '0e 02 0100 0200 aabb',
      '16 00 0200 04000000 04000000 aabb',
      '1a 00 0100 aa',
      '1e 00 0100 04000000 04000000 aa',
      '22 00 0100 0800 0100 04000000 aa',
      '26 00 0100 0800 0100 aa',
      '2a 00 0100 0800 0100 04000000 aa',
      '2e 0800 0000000000',
      '32 01 0100 aa',
      '36 00000000',
      '36 01000000',
      opaqueRect(0, 0, 1, 1, '010203'),
    );
    assert.equal(at(0, 0), 0xff030201, 'the order after them is found');
    assert.equal(screen.framesCount, 1);
    assert.deepEqual(Object.fromEntries(screen.unsupported), {
      'order.nineGrid': 1,
      'order.streamBitmap': 2,
      'order.gdiPlus': 6,
      'order.window.unsupported': 1,
      'order.desktopComposition': 1,
    });
  });
});

describe('what can’t be read', () => {
  const colors: OrderColors = { palette: createPalette(), depth: 24 };

  test('ends the update with an error', () => {
    const { draw } = desk();
    for (const digits of ['0905', '00', '3e', '0901ff', '03f0ff000004', '01', ''])
      assert.throws(() => draw(digits), DecodeError, digits);
  });

  test('reset forgets the order history', () => {
    const { draw, orders, at, screen } = desk();
    draw(opaqueRect(0, 0, 2, 2, '010203'));
    orders.reset();
    screen.pixels.words.fill(ground);
    draw('81');
    assert.equal(at(0, 0), ground, 'a PatBlt of no size');
  });

  test('a restored snapshot goes on as the original', () => {
    const first = desk();
    first.draw(
      cacheBitmap(1, 7, 2, 2, '000000 ff0000 0000 ffffff 0000ff 0000'),
      '030700000007000108088108aa55aa55aa55aa55',
      `06${u16(1)}${u16(8)}${u16(8)}`,
      primary(0x0b, 6, `00000000 ${u16(0)}${u16(0)}${u16(3)}${u16(3)} 00`),
      opaqueRect(1, 1, 3, 3, '010203'),
    );
    const second = desk();
    second.orders.restore(structuredClone(first.orders.snapshot()));
    second.screen.restore(first.screen.snapshot());
    for (const { draw } of [first, second])
      draw(
        '1103 0a 05',
        memBlt(1, rectangle(20, 20, 2, 2), 'cc', 0, 0, 7),
        memBlt(0xff, rectangle(30, 20, 8, 8), 'cc', 0, 0, 1),
        patBlt(rectangle(40, 20, 8, 8), 'f0', '010203 040506 00 00 81 00 00000000000000'),
        primary(0x0b, 6, `00000000 ${u16(10)}${u16(30)}${u16(13)}${u16(33)} 01`),
      );
    assert.deepEqual(second.screen.pixels.words, first.screen.pixels.words);
    assert.deepEqual([...second.screen.unsupported], []);
  });

  test('any bytes: every order type, with plausible and wild fields', () => {
    const { orders } = desk(32, 32);
    const types = [0, 1, 2, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 25, 26, 27];
    const primaryHead = fc
      .tuple(fc.constantFrom(...types), fc.constantFrom(0x09, 0x0d, 0x19, 0x1d, 0x49))
      .map(([type, control]) => [control, type]);
    const secondaryHead = fc
      .tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0, max: 60 }))
      .map(([type, flags, length]) => [0x03, length, 0, flags & 0xff, flags >> 8, type]);
    const alternateHead = fc.integer({ min: 0, max: 13 }).map((type) => [(type << 2) | 2]);
    const order = fc
      .tuple(fc.oneof(primaryHead, secondaryHead, alternateHead), fc.uint8Array({ maxLength: 90 }))
      .map(([head, tail]) => [...head, ...tail]);
    fc.assert(
      fc.property(fc.array(order, { minLength: 1, maxLength: 4 }), (list) => {
        try {
          orders.decode(new Reader(Uint8Array.from(list.flat())), 20, colors);
        } catch (error) {
          assert.ok(error instanceof DecodeError, String(error));
        }
      }),
      { numRuns: 4000 },
    );
  });
});
