export type { Canvas } from './canvas.ts';
export type { Keeping } from './content-tap.ts';
export type { InputWatch, RelayPolicy } from './conversation.ts';
export { type Unreplayable, unreplayable } from './downgrades.ts';
export { type RelayEvent, type RelaySide, RelayViolation, type RelayViolationCode } from './events.ts';
export type { FrameTap } from './frame-tap.ts';
export { type ChannelPolicy, type ClipboardWay, openPolicy } from './policy/channel-policy.ts';
export { nobody, type PutInLogon } from './put-in-logon.ts';
export { Relay, type RelayCounters, type RelayStep } from './relay.ts';
