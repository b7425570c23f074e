/**
 * The clipboard ([MS-RDPECLIP]) under a policy, both directions. What one side copied is offered to the other as far as it may be
 * pasted there; who asks for the rest is told by the gateway that there is nothing, so that nobody waits.
 */
import {
  ClipboardFlag,
  type ClipboardFormat,
  ClipboardGeneralFlag,
  ClipboardType,
  clipboardCapabilities,
  clipboardListForm,
  clipboardMessage,
  encodeClipboardFormats,
  FileContentsFlag,
  fileContentsRequest,
  formatDataRequest,
  readClipboardFormats,
} from '@lucid-sessions/rdp';
import { attempt, decode, encode, Writer } from '@lucid-sessions/wire';
import type { RelaySide } from '../events.ts';
import type { PolicyJudge } from './channel-policy.ts';
import type { Verdict } from './message-gate.ts';
import type { Refusals } from './refusals.ts';

const HEADER_BYTES = 8;
/** Bytes peers put behind a message. */
const PADDING_BYTES_MAX = 8;
/** Requests that were passed on and not answered yet. */
const PENDING_MAX = 64;
/** With its clipDataId. */
const FILES_REQUEST_BYTES_MAX = 28;
const CF_HDROP = 15;
/** Formats below are the system's (CF_TEXT to CF_DSPENHMETAFILE): they are what their ids say, whatever name stands beside. */
const REGISTERED_MIN = 0x100;
/** Registered formats by which files are copied; in lower case. */
const fileFormats: ReadonlySet<string> = new Set([
  'filegroupdescriptorw',
  'filegroupdescriptor',
  'filecontents',
  'filenamew',
  'filename',
  'filenamemapw',
  'filenamemap',
  'shell idlist array',
  'text/uri-list',
  'x-special/gnome-copied-files',
  'x-special/mate-copied-files',
  'x-special/nautilus-clipboard',
]);
const filesFlags =
  ClipboardGeneralFlag.streamFileclipEnabled |
  ClipboardGeneralFlag.fileclipNoFilePaths |
  ClipboardGeneralFlag.canLockClipdata |
  ClipboardGeneralFlag.hugeFileSupportEnabled;

/** What one side has on its clipboard, as far as the other may know of it. */
interface Offer {
  /** null: whatever it says. */
  formats: ReadonlySet<number> | null;
  dataPending: number;
  /** Streams of files that were asked for. */
  readonly filesPending: number[];
  longNames: boolean;
}

/** CLIPRDR_GENERAL_CAPABILITY, the only set there is. */
const generalSet = { cCapabilitiesSets: 1, pad1: 0, capabilitySetType: 1, lengthCapability: 12 };
const noOffer = (): Offer => ({ formats: new Set(), dataPending: 0, filesPending: [], longNames: false });
const otherOf = (side: RelaySide): RelaySide => (side === 'client' ? 'server' : 'client');
const wayOf = (from: RelaySide): string => (from === 'client' ? 'into the session' : 'out of the session');

export interface ClipboardRuleOptions {
  judge: PolicyJudge;
  refusals: Refusals;
  /** Says something to one side in the other's place. */
  answer: (to: RelaySide, message: Uint8Array) => void;
}

export class ClipboardRule {
  readonly #options: ClipboardRuleOptions;
  readonly #offers: Record<RelaySide, Offer> = { client: noOffer(), server: noOffer() };
  /** The server takes the clipboard for ready when it has the client's first list. */
  #isReady = false;

  constructor(options: ClipboardRuleOptions) {
    this.#options = options;
  }

  judge(from: RelaySide, message: Uint8Array, isWhole: boolean): Verdict {
    if (message.length < HEADER_BYTES) return 'more';
    const { msgType } = decode(clipboardMessage, message);
    if (msgType === ClipboardType.formatDataResponse) return this.#dataResponse(from);
    if (msgType === ClipboardType.fileContentsResponse) return this.#filesResponse(from, message);
    if (!isWhole) return 'more';
    const answer = attempt(() => this.#short(from, msgType, message));
    if (answer === null) return 'more';
    return answer === 'refuse' ? answer : asItCame(answer, message);
  }

  /** Another message, or the same without what stands behind its fields. Throws `DecodeError`. */
  #short(from: RelaySide, msgType: number, message: Uint8Array): Uint8Array | 'refuse' {
    const { msgFlags, dataLen, data: all } = decode(clipboardMessage, message);
    if (dataLen > all.length) return this.#unread();
    const data = all.subarray(0, dataLen);
    const other = otherOf(from);
    switch (msgType) {
      case ClipboardType.monitorReady:
        return from === 'server' ? messageOf(msgType, 0) : this.#unread();
      case ClipboardType.clipCaps:
        return this.#capabilities(from, data);
      case ClipboardType.tempDirectory:
        return from === 'client' && this.#may('client', 'files') ? messageOf(msgType, 0, data) : 'refuse';
      case ClipboardType.formatList:
        return this.#formatList(from, msgFlags, data);
      case ClipboardType.formatListResponse:
        return messageOf(msgType, msgFlags);
      case ClipboardType.formatDataRequest:
        return this.#dataRequest(other, decode(formatDataRequest, data).requestedFormatId);
      case ClipboardType.fileContentsRequest:
        return this.#filesRequest(other, data);
      case ClipboardType.lockClipdata:
      case ClipboardType.unlockClipdata:
        return this.#may(other, 'files') && dataLen === 4 ? messageOf(msgType, 0, data) : 'refuse';
      default:
        return this.#unread();
    }
  }

  #may(owner: RelaySide, what: 'text' | 'files'): boolean {
    return this.#options.judge.clipboard(owner, what);
  }

  #refuse(owner: RelaySide, what: 'text' | 'files'): void {
    const which = what === 'files' ? 'files on the clipboard' : 'clipboard';
    this.#options.refusals.add(`${which} ${wayOf(owner)} refused`);
  }

  #unread(): 'refuse' {
    this.#options.refusals.add('what could not be read on cliprdr refused');
    return 'refuse';
  }

  #capabilities(from: RelaySide, data: Uint8Array): Uint8Array {
    const { version, generalFlags: said } = decode(clipboardCapabilities, data);
    const takesFiles = this.#may('client', 'files') || this.#may('server', 'files');
    const generalFlags = takesFiles ? said : (said & ~filesFlags) >>> 0;
    this.#offers[from].longNames = (generalFlags & ClipboardGeneralFlag.useLongFormatNames) !== 0;
    const set = { ...generalSet, version, generalFlags };
    return messageOf(ClipboardType.clipCaps, 0, encode(clipboardCapabilities, set));
  }

  #formatList(from: RelaySide, msgFlags: number, data: Uint8Array): Uint8Array | 'refuse' {
    const offer = this.#offers[from];
    const isFirst = from === 'client' && !this.#isReady;
    if (isFirst) this.#isReady = true;
    const longNames = this.#offers.client.longNames && this.#offers.server.longNames;
    if (this.#may(from, 'text') && this.#may(from, 'files')) {
      offer.formats = null;
      return messageOf(ClipboardType.formatList, msgFlags, data);
    }
    const formats = readClipboardFormats(data, msgFlags, longNames);
    const kept = formats.filter((format) => this.#may(from, isFiles(format) ? 'files' : 'text'));
    const gone = formats.filter((format) => !kept.includes(format));
    if (gone.some((format) => !isFiles(format))) this.#refuse(from, 'text');
    if (gone.some(isFiles)) this.#refuse(from, 'files');
    offer.formats = new Set(kept.map(({ formatId }) => formatId));
    if (kept.length === formats.length && kept.length > 0) return messageOf(ClipboardType.formatList, msgFlags, data);
    if (kept.length > 0 || isFirst) {
      const form = clipboardListForm(data, msgFlags, longNames);
      const flags = form === 'ascii' ? ClipboardFlag.asciiNames : 0;
      return messageOf(ClipboardType.formatList, flags, encodeClipboardFormats(kept, form));
    }
    // Nothing of it may be pasted: what the other side has on its own clipboard stays there.
    this.#options.answer(from, messageOf(ClipboardType.formatListResponse, ClipboardFlag.responseOk));
    return 'refuse';
  }

  /** `owner` is asked for what it has copied. */
  #dataRequest(owner: RelaySide, formatId: number): Uint8Array | 'refuse' {
    const { formats, dataPending } = this.#offers[owner];
    if ((formats !== null && !formats.has(formatId)) || dataPending >= PENDING_MAX) {
      this.#refuse(owner, this.#may(owner, 'text') ? 'files' : 'text');
      const failed = messageOf(ClipboardType.formatDataResponse, ClipboardFlag.responseFail);
      this.#options.answer(otherOf(owner), failed);
      return 'refuse';
    }
    this.#offers[owner].dataPending += 1;
    return messageOf(ClipboardType.formatDataRequest, 0, encode(formatDataRequest, { requestedFormatId: formatId }));
  }

  #filesRequest(owner: RelaySide, data: Uint8Array): Uint8Array | 'refuse' {
    const request = decode(fileContentsRequest, data);
    const isRequest = request.dwFlags === FileContentsFlag.size || request.dwFlags === FileContentsFlag.range;
    if (!isRequest || data.length > FILES_REQUEST_BYTES_MAX) return this.#unread();
    const { filesPending } = this.#offers[owner];
    if (!this.#may(owner, 'files') || filesPending.length >= PENDING_MAX) {
      this.#refuse(owner, 'files');
      const streamId = new Writer().u32le(request.streamId).bytes();
      const failed = messageOf(ClipboardType.fileContentsResponse, ClipboardFlag.responseFail, streamId);
      this.#options.answer(otherOf(owner), failed);
      return 'refuse';
    }
    filesPending.push(request.streamId);
    return messageOf(ClipboardType.fileContentsRequest, 0, data);
  }

  /** Nobody was let ask for it: then it is nothing that may cross. */
  #dataResponse(owner: RelaySide): Verdict {
    const offer = this.#offers[owner];
    if (offer.dataPending === 0) {
      this.#refuse(owner, this.#may(owner, 'text') ? 'files' : 'text');
      return 'refuse';
    }
    offer.dataPending -= 1;
    return 'pass';
  }

  #filesResponse(owner: RelaySide, message: Uint8Array): Verdict {
    if (message.length < HEADER_BYTES + 4) return 'more';
    const streamId = new DataView(message.buffer, message.byteOffset).getUint32(HEADER_BYTES, true);
    const { filesPending } = this.#offers[owner];
    const at = filesPending.indexOf(streamId);
    if (at < 0) {
      this.#refuse(owner, 'files');
      return 'refuse';
    }
    filesPending.splice(at, 1);
    return 'pass';
  }
}

const isFiles = ({ formatId, formatName }: ClipboardFormat): boolean =>
  formatId === CF_HDROP || (formatId >= REGISTERED_MIN && fileFormats.has(formatName.toLowerCase()));

const messageOf = (msgType: number, msgFlags: number, data: Uint8Array = new Uint8Array(0)): Uint8Array =>
  encode(clipboardMessage, { msgType, msgFlags, dataLen: data.length, data });

/** `pass` where all that was taken off is padding. */
function asItCame(message: Uint8Array, came: Uint8Array): Verdict {
  const padding = came.length - message.length;
  const isSame = padding >= 0 && padding <= PADDING_BYTES_MAX && message.every((byte, at) => came[at] === byte);
  return isSame && came.subarray(message.length).every((byte) => byte === 0) ? 'pass' : message;
}
