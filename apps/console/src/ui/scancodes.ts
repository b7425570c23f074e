/** Scan codes (set 1, 0xE0.. for extended keys) by the place of a key, as `KeyboardEvent.code` names it. */

/** Rows of keys whose codes follow one another; `-` stands for a code that no key here has. */
const runs: readonly (readonly [first: number, codes: string])[] = [
  [
    0x01,
    'Escape Digit1 Digit2 Digit3 Digit4 Digit5 Digit6 Digit7 Digit8 Digit9 Digit0 Minus Equal Backspace Tab KeyQ KeyW KeyE KeyR KeyT KeyY KeyU KeyI KeyO KeyP BracketLeft BracketRight Enter ControlLeft KeyA KeyS KeyD KeyF KeyG KeyH KeyJ KeyK KeyL Semicolon Quote Backquote ShiftLeft Backslash KeyZ KeyX KeyC KeyV KeyB KeyN KeyM Comma Period Slash ShiftRight NumpadMultiply AltLeft Space CapsLock F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 - ScrollLock Numpad7 Numpad8 Numpad9 NumpadSubtract Numpad4 Numpad5 Numpad6 NumpadAdd Numpad1 Numpad2 Numpad3 Numpad0 NumpadDecimal - - IntlBackslash F11 F12 NumpadEqual',
  ],
  [0x64, 'F13 F14 F15 F16 F17 F18 F19 F20 F21 F22 F23'],
  [0x70, 'KanaMode - - IntlRo - - F24 - - Convert - NonConvert - IntlYen NumpadComma'],
  [0xe01c, 'NumpadEnter ControlRight'],
  [0xe020, 'AudioVolumeMute - MediaPlayPause - MediaStop'],
  [0xe02e, 'AudioVolumeDown - AudioVolumeUp - BrowserHome - - NumpadDivide - PrintScreen AltRight'],
  [0xe047, 'Home ArrowUp PageUp - ArrowLeft - ArrowRight - End ArrowDown PageDown Insert Delete'],
  [0xe05b, 'MetaLeft MetaRight ContextMenu'],
];

const byCode = new Map(
  runs.flatMap(([first, codes]) => codes.split(' ').map((code, at) => [code, first + at] as const)),
);

/** Undefined for keys that no PC keyboard has. */
export const scancodeOf = (code: string): number | undefined => (code === '-' ? undefined : byCode.get(code));

/** Keys that are held together, in the order in which they are pressed. */
export const combinations = {
  'Ctrl+Alt+Del': ['ControlLeft', 'AltLeft', 'Delete'],
  'Alt+Tab': ['AltLeft', 'Tab'],
  'Alt+F4': ['AltLeft', 'F4'],
  'Ctrl+Esc': ['ControlLeft', 'Escape'],
  Windows: ['MetaLeft'],
  'Print Screen': ['PrintScreen'],
} as const;
export type Combination = keyof typeof combinations;
