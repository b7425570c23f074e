import type { GatewayNote } from '@lucid-sessions/recording';
import type { IndexEvent } from '@lucid-sessions/recording/session-index';
import { formatBytes } from '../../ui/format.ts';
import type { PlayerEvent } from '../protocol.ts';

type Monitor = Extract<IndexEvent, { kind: 'monitors' }>['monitors'][number];

const kinds: Record<IndexEvent['kind'], PlayerEvent['kind']> = {
  note: 'note',
  logon: 'note',
  resize: 'screen',
  monitors: 'screen',
  window: 'screen',
  typed: 'keys',
  combination: 'keys',
  click: 'pointer',
  clipboard_text: 'clipboard',
  clipboard_data: 'clipboard',
  clipboard_files: 'clipboard',
  clipboard_file: 'clipboard',
  drive: 'drive',
  device: 'drive',
  device_removed: 'drive',
  drive_open: 'drive',
  drive_read: 'drive',
  drive_written: 'drive',
  drive_deleted: 'drive',
  drive_renamed: 'drive',
  print_job: 'drive',
  not_kept: 'note',
  error: 'note',
  disconnect: 'note',
};

/** An event of the index as a line of the list. */
export function playerEventOf(event: IndexEvent): PlayerEvent {
  return { timeUs: event.timeUs, kind: kinds[event.kind], text: textOf(event) };
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

const deviceNames: Record<Extract<IndexEvent, { kind: 'device' }>['type'], string> = {
  printer: 'printer',
  serial: 'serial port',
  parallel: 'parallel port',
  smart_card: 'smart card reader',
  other: 'device',
};

/** How much of a file went over: a part is called one. */
function amountOf({ bytes, size }: { bytes: number | null; size: number | null }): string {
  if (bytes === null) return 'how much is not known';
  return size === null || size === bytes ? formatBytes(bytes) : `${formatBytes(bytes)} of ${formatBytes(size)}`;
}

const buttonNames: Readonly<Record<string, string>> = { touch: 'touched', pen: 'pen down' };

const windowTexts = {
  opened: 'window opened:',
  activated: 'window in front:',
  renamed: 'window is now',
  closed: 'window closed:',
} as const;

const monitorText = ({ left, top, width, height, primary }: Monitor): string =>
  `${width} × ${height} at ${left}, ${top}${primary ? ' (primary)' : ''}`;

function textOf(event: IndexEvent): string {
  switch (event.kind) {
    case 'note':
      return noteText(event.note);
    case 'logon':
      return `${event.from === 'client' ? 'the client names' : 'logged on as'} ${event.domain ? `${event.domain}\\` : ''}${event.userName}`;
    case 'resize':
      return `${event.width} × ${event.height}`;
    case 'monitors':
      return `${counted(event.monitors.length, 'monitor')}: ${event.monitors.map(monitorText).join(', ')}`;
    case 'window':
      return `${windowTexts[event.what]} “${event.title}”`;
    case 'typed': {
      const when = event.atLogon ? ' before the logon' : '';
      return event.text === null ? `${counted(event.keys, 'key')}${when}` : `${event.text}${event.entered ? '⏎' : ''}`;
    }
    case 'combination':
      return event.keys ?? 'a combination of keys';
    case 'click':
      return `${buttonNames[event.button] ?? `${event.button} button`}${event.x === null ? '' : ` at ${event.x}, ${event.y}`}`;
    case 'clipboard_text':
      return `${event.from} copied ${event.text === null ? counted(event.characters, 'character') : `“${event.text}”`}`;
    case 'clipboard_data':
      return `${event.from} copied ${event.format} (${formatBytes(event.bytes)})${event.text ? ` “${event.text}”` : ''}`;
    case 'clipboard_files':
      return `${event.from} offers ${event.files?.map(({ name }) => name).join(', ') || counted(event.count, 'file')}`;
    case 'clipboard_file':
      return `${event.from} handed over ${event.name ?? 'a file'} (${amountOf(event)})`;
    case 'drive':
      return `drive ${event.name} of the client`;
    case 'device':
      return `${deviceNames[event.type]} ${event.name} of the client`;
    case 'device_removed':
      return `${event.name} of the client was taken away`;
    case 'drive_open':
      return `${event.drive}${event.path}${event.opened ? '' : ' could not be'} opened${event.forWriting ? ' for writing' : ''}`;
    case 'drive_read':
      return `${event.drive}${event.path} read (${amountOf(event)})`;
    case 'drive_written':
      return `${event.drive}${event.path} written (${amountOf(event)})`;
    case 'drive_deleted':
      return `${event.drive}${event.path} deleted`;
    case 'drive_renamed':
      return `${event.drive}${event.path} renamed to ${event.newPath}`;
    case 'print_job':
      return `printed on ${event.printer}${event.bytes === null ? '' : ` (${formatBytes(event.bytes)})`}`;
    case 'not_kept':
      return `${event.what} was not kept: ${event.policy}`;
    case 'error':
      return event.message;
    case 'disconnect':
      return `${event.from} disconnected`;
  }
}

function steeringText({ state, by, reason }: Extract<GatewayNote, { type: 'steering' }>): string {
  const why = reason === '' ? '' : `: ${reason}`;
  switch (state) {
    case 'asked':
      return `${by} asked the user to let them steer`;
    case 'began':
      return `${by} steers from here on`;
    case 'refused':
      return `${by} was not let steer${why}`;
    case 'ended':
      return `${by} steers no more${why}`;
  }
}

/** A note as a sentence. */
export function noteText(note: GatewayNote): string {
  switch (note.type) {
    case 'connected':
      return `connected from ${note.clientAddress} to ${note.targetAddress}${note.tls ? ` (${note.tls})` : ''}`;
    case 'client':
      return `client ${note.clientName || 'without a name'}, ${note.desktopWidth} × ${note.desktopHeight}, ${note.security}`;
    case 'target_certificate':
      return `target’s certificate ${note.valid ? 'valid' : 'not valid'} (${note.check.replaceAll('_', ' ')})${note.tls ? `, ${note.tls}` : ''}${note.problem ? `: ${note.problem}` : ''}`;
    case 'approval':
      return `let in by ${note.by}: ${note.reason}`;
    case 'consent':
      return `${note.user || 'the user'} acknowledged what was shown before the session`;
    case 'client_logon':
      return `logged on to the gateway as ${note.user}${note.workstation ? ` from ${note.workstation}` : ''} (network level authentication)`;
    case 'target_logon':
      return `logged on to the target as ${note.user} (${note.method === 'ntlm' ? 'NTLM' : 'Kerberos'}, CredSSP ${note.credsspVersion})`;
    case 'downgrade':
      return `downgrade: ${note.what}`;
    case 'joined':
      return 'client joined to the target, by ids of its own';
    case 'policy':
      return `channel policy: ${note.what}`;
    case 'message':
      return `message to the user from ${note.from}: ${note.text}`;
    case 'steering':
      return steeringText(note);
    case 'pause':
      return 'recording paused';
    case 'resume':
      return 'recording goes on';
    case 'gap':
      return `gap: ${note.reason}, ${note.framesLost} frames lost`;
    case 'clock_step':
      return `the clock was set by ${(note.stepUs / 1e6).toFixed(3)} s`;
    case 'ended':
      return `ended: ${note.message || note.reason.replaceAll('_', ' ')}`;
  }
}
