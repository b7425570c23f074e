export * from './keyboard-layouts.ts';
