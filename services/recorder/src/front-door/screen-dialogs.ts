/** What the gateway's own screens say. */
import type { DialogSpec } from '@lucid-sessions/screens';

const base = { fields: [], problem: '', buttons: [], waits: false, escape: null, footer: '' } as const;

export const consentDialog = (text: string, footer: string): DialogSpec => ({
  ...base,
  id: 'consent',
  title: 'Before you go on',
  text,
  buttons: [
    { id: 'accept', label: 'I have read this and agree' },
    { id: 'decline', label: 'Do not connect' },
  ],
  escape: 'decline',
  footer,
});

/** `tries`: which one this is, from 1. */
export const logonDialog = (
  known: { userName: string; domain: string },
  problem: string,
  tries: number,
  footer: string,
): DialogSpec => ({
  ...base,
  id: `logon ${tries}`,
  title: 'Sign in to the computer',
  text: 'The gateway signs in for you with what you give here. What you type here is not recorded.',
  fields: [
    { id: 'userName', label: 'User name', value: known.userName, secret: false, optional: false },
    { id: 'domain', label: 'Domain (where there is one)', value: known.domain, secret: false, optional: true },
    { id: 'password', label: 'Password', value: '', secret: true, optional: false },
  ],
  problem,
  buttons: [
    { id: 'signIn', label: 'Sign in' },
    { id: 'cancel', label: 'Cancel' },
  ],
  escape: 'cancel',
  footer,
});

export const approvalDialog = (footer: string): DialogSpec => ({
  ...base,
  id: 'approval',
  title: 'Waiting to be let in',
  text: 'A second person has been asked to let you in. This screen goes on by itself when they have.',
  buttons: [{ id: 'cancel', label: 'Do not wait' }],
  waits: true,
  escape: 'cancel',
  footer,
});

export const connectingDialog = (footer: string): DialogSpec => ({
  ...base,
  id: 'connecting',
  title: 'Connecting',
  text: 'The computer is being connected. This takes a moment.',
  waits: true,
  footer,
});
