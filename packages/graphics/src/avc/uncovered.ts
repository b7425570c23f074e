import { intersect, isEmpty, type Rectangle, union } from '../pixels.ts';

/** With more rectangles than this, everything is drawn. */
const rectanglesMax = 256;

/** Of areas painted one after the other (first to last), what no later one paints again; `covers`: those of them that paint over all. */
export function uncovered(
  areas: readonly (readonly Rectangle[])[],
  covers: (index: number) => boolean = () => true,
): readonly (readonly Rectangle[])[] {
  if (areas.reduce((sum, { length }) => sum + length, 0) > rectanglesMax) return areas;
  const left: Rectangle[][] = [];
  const covered: Rectangle[] = [];
  for (let index = areas.length - 1; index >= 0; index -= 1) {
    const own = areas[index]!;
    left.unshift(
      covered.reduce<Rectangle[]>((parts, cover) => parts.flatMap((part) => without(part, cover)), [...own]),
    );
    if (!covers(index)) continue;
    for (const area of own) if (!covered.some((cover) => without(area, cover).length === 0)) covered.push(area);
  }
  return left;
}

/** A rectangle without the part another covers: up to four. */
function without(area: Rectangle, cover: Rectangle): Rectangle[] {
  const common = intersect(area, cover);
  if (isEmpty(common)) return [area];
  const right = area.left + area.width;
  const bottom = area.top + area.height;
  const commonRight = common.left + common.width;
  const commonBottom = common.top + common.height;
  return [
    { left: area.left, top: area.top, width: area.width, height: common.top - area.top },
    { left: area.left, top: commonBottom, width: area.width, height: bottom - commonBottom },
    { left: area.left, top: common.top, width: common.left - area.left, height: common.height },
    { left: commonRight, top: common.top, width: right - commonRight, height: common.height },
  ].filter((part) => !isEmpty(part));
}

/** The smallest rectangle around all, null around none. */
export const around = (areas: readonly Rectangle[]): Rectangle | null =>
  areas.length === 0 ? null : areas.reduce(union);
