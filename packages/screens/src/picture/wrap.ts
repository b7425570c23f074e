import { charactersOf, type Font, widthOf } from '../font/font.ts';

/** Lines of `text` none of which is wider than `width` pixels, unless one character is. Broken at spaces, long words anywhere. */
export function wrap(font: Font, text: string, width: number): string[] {
  return text
    .split(/\r\n|\r|\n/)
    .flatMap((paragraph) => wrapParagraph(font, paragraph.replaceAll('\t', '    '), width));
}

function wrapParagraph(font: Font, paragraph: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of paragraph.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (widthOf(font, longer) <= width) {
      line = longer;
      continue;
    }
    if (line !== '') lines.push(line);
    const pieces = cut(font, word, width);
    line = pieces.pop() ?? '';
    lines.push(...pieces);
  }
  return [...lines, line];
}

function cut(font: Font, word: string, width: number): string[] {
  const pieces: string[] = [];
  let piece = '';
  let pieceWidth = 0;
  for (const character of charactersOf(word)) {
    const advance = font.glyph(character.codePointAt(0)!).advance;
    if (piece !== '' && pieceWidth + advance > width) {
      pieces.push(piece);
      piece = '';
      pieceWidth = 0;
    }
    piece += character;
    pieceWidth += advance;
  }
  return [...pieces, piece];
}
