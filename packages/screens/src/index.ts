export { type BannerDesktop, bannerUpdates } from './banner.ts';
export { Dialog, type DialogAnswer, type DialogSpec, FIELD_UNITS_MAX } from './dialog/dialog.ts';
export { Keyboard, type KeyStroke } from './dialog/keyboard.ts';
export { layOut, linesOf } from './dialog/layout.ts';
export { DialogDisplay, percentOf } from './dialog-display.ts';
export { fontFor, widthOf } from './font/font.ts';
export { tilesOf, updatesOf } from './picture/encode.ts';
export { differences, type Picture, type Rectangle, render } from './picture/picture.ts';
export { wrap } from './picture/wrap.ts';
