/** Where on the desktop a click on its picture is: the picture is in the middle of the element, as large as it fits. */
export function placeOn(
  element: HTMLElement,
  { width, height }: { width: number; height: number },
  { clientX, clientY }: Pick<MouseEvent, 'clientX' | 'clientY'>,
): { x: number; y: number } {
  const box = element.getBoundingClientRect();
  const scale = Math.min(box.width / width, box.height / height);
  const within = (at: number, middle: number, pixels: number): number =>
    Math.min(pixels - 1, Math.max(0, Math.round((at - middle) / scale + pixels / 2)));
  return {
    x: within(clientX, box.left + box.width / 2, width),
    y: within(clientY, box.top + box.height / 2, height),
  };
}
