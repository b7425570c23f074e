/** What people do in the sessions of the capacity bench: captures of the test kit, looped at their own pace. */
import { join } from 'node:path';
import type { Frame } from '@lucid-sessions/recording';
import { loopedFrames } from '@lucid-sessions/testkit';

interface Work {
  kind: 'typing' | 'office' | 'video' | 'idle';
  capture: string;
  /** Nothing comes after the first pictures. */
  still?: boolean;
}

const idleAfterUs = 5_000_000;

/** In the order in which sessions take them: of each six two are H.264. */
export const works: Readonly<Record<string, Work>> = {
  'typing-gnome': { kind: 'typing', capture: 'gnome-type-gfx-default' },
  'office-avc420': { kind: 'office', capture: 'long/shadow-work-avc420' },
  idle: { kind: 'idle', capture: 'gnome-type-gfx-default', still: true },
  'typing-xorg': { kind: 'typing', capture: 'xorg-bpp16-nocomp' },
  'video-avc444': { kind: 'video', capture: 'shadow-default' },
  'office-gnome': { kind: 'office', capture: 'gnome-move-gfx-1000x700' },
};

/** Names of works, from names or kinds of them. */
export function worksNamed(text: string): string[] {
  const all = Object.keys(works);
  const named = text === '' ? all : text.split(',').flatMap((word) => all.filter((name) => fits(name, word)));
  if (named.length === 0) throw new Error(`no such work: ${text}; there are ${all.join(', ')}`);
  return named;
}

const fits = (name: string, word: string): boolean => name === word || works[name]?.kind === word;

/** MCS Connect-Initial: BER application tag 101. */
const isConnectInitial = ({ body }: Frame): boolean => body[0] === 3 && body[7] === 0x7f && body[8] === 0x65;

const known = new Map<string, Frame[]>();

/** What crosses behind TLS, both directions, for so many seconds. Its bytes are shared by all sessions of one work. */
export function framesOf(name: string, seconds: number): readonly Frame[] {
  const have = known.get(name);
  if (have !== undefined) return have;
  const work = works[name];
  if (work === undefined) throw new Error(`no such work: ${name}`);
  const path = join(import.meta.dirname, `../../testkit/captures/${work.capture}.rdpcap.gz`);
  const untilUs = work.still === true ? idleAfterUs : seconds * 1e6;
  const all = [...loopedFrames(path, untilUs)];
  // A logon in between is not the gateway's to see again.
  const frames = all.slice(all.findIndex(isConnectInitial));
  known.set(name, frames);
  return frames;
}
