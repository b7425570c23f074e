import { DecodeError, decode } from '@lucid-sessions/wire';
import { type CapabilitySet, GeneralExtraFlag } from '../pdu/capability-sets.ts';
import type { ClientInfo } from '../pdu/client-info.ts';
import { type FastPathInputEvent, FastPathUpdateCode, Fragmentation } from '../pdu/fast-path.ts';
import type { ClientCoreData, ClientDataBlock } from '../pdu/gcc-client.ts';
import { slowPathInput, toFastPath } from '../pdu/input.ts';
import { PduType2, type ShareDataPdu } from '../pdu/share.ts';
import { slowPathUpdate, UpdateType } from '../pdu/update.ts';
import { Protocol } from '../pdu/x224.ts';
import { Acceptor, type AcceptorEvent } from './acceptor.ts';
import type { DesktopShape } from './default-capabilities.ts';
import { concat, type Step } from './frames.ts';
import type { HeldClientState } from './splice.ts';

/** What a client is shown its pictures on. */
export interface HeldDesktop {
  shape: DesktopShape;
  core: ClientCoreData;
  capabilitySets: CapabilitySet[];
}

/** Pictures for a client that is held, and what its user does with them. */
export interface HeldDisplay<A> {
  /** The whole picture on a black desktop, as bodies of bitmap updates ([MS-RDPBCGR] 2.2.9.1.1.3.1.2 behind its updateType), each below 16 KiB. */
  open(desktop: HeldDesktop): Uint8Array[];
  /** What its user has decided by this, once. */
  input(event: FastPathInputEvent): A | null;
  /** What has changed since it was opened or drawn last. */
  draw(): Uint8Array[];
}

export type HoldEnding = 'left' | 'late' | 'garbage' | 'refused' | 'tlsFailed';

export type HoldEvent<A> =
  /** The driver's, and never this sequence's: TLS is there. */
  | { kind: 'startTls'; early: Uint8Array }
  /** It has said all that a target needs; `blocks` are its GCC data. Holds a password. */
  | { kind: 'clientInfo'; info: ClientInfo; blocks: ClientDataBlock[] }
  | { kind: 'answered'; answer: A }
  /** Send the output and close. */
  | { kind: 'ended'; how: HoldEnding; at: 'begun'; problem: string };

/** All that a client may say while it is held; people type and move the mouse. */
const heldBytesMax = 1024 * 1024;
/** A whole picture takes thousands of times what asking for it does: windows that are shown again ask a few times. */
const refreshesMax = 20;

/**
 * A client that is held until its target is there, from its MCS Connect Initial on, without sockets: it can be shown pictures,
 * refused, or handed to a `Splice`. Input may come in any pieces. Never throws on input: what can't go on ends.
 */
export class Hold<A> {
  readonly #acceptor: Acceptor;
  readonly #connectInitial: Uint8Array;
  #clientInfo: Uint8Array = new Uint8Array(0);
  #blocks: ClientDataBlock[] = [];
  #desktop: HeldDesktop | null = null;
  #display: HeldDisplay<A> | null = null;
  #receivedBytes = 0;
  #asksForAll = false;
  #refreshesLeft = refreshesMax;
  #isOver = false;
  #output: Uint8Array[] = [];
  #events: HoldEvent<A>[] = [];

  /** `connectInitial`: the TPKT that is read first of what the client sends. */
  constructor(requestedProtocols: number, connectInitial: Uint8Array) {
    this.#connectInitial = connectInitial;
    const begin = { at: 'connectInitial', selectedProtocol: Protocol.ssl, requestedProtocols } as const;
    this.#acceptor = new Acceptor({ protocols: Protocol.ssl, begin, holds: true });
  }

  step(input: Uint8Array): Step<HoldEvent<A>> {
    if (this.#isOver) return this.#flush();
    return this.#guarded(() => {
      this.#receivedBytes += input.length;
      if (this.#receivedBytes > heldBytesMax) throw new DecodeError('limit', 'the client says too much while it waits');
      this.#take(this.#acceptor.step(input));
    });
  }

  /** The client's own TLS was there before. */
  tlsEstablished(): Step<HoldEvent<A>> {
    return this.#flush();
  }

  /** Shows what the display has now; a client that waits for licensing is given a desktop first. */
  show(display: HeldDisplay<A>): Step<HoldEvent<A>> {
    if (this.#isOver) return this.#flush();
    return this.#guarded(() => {
      const isNew = this.#display !== display;
      this.#display = display;
      if (this.#desktop === null) this.#take(this.#acceptor.proceed());
      else if (isNew) this.#open(this.#desktop);
      else this.#draw(display.draw());
    });
  }

  /** By an error code that its user reads in the client's own words. */
  refuse(errorInfo: number): Step<HoldEvent<A>> {
    if (this.#isOver) return this.#flush();
    return this.#guarded(() => {
      this.#display = null;
      this.#take(this.#acceptor.refuse(errorInfo));
    });
  }

  /** Another Client Info for its target than its own: data of the I/O channel. */
  replaceClientInfo(data: Uint8Array): void {
    this.#clientInfo = data;
  }

  /** What a `Splice` goes on with. */
  get state(): HeldClientState {
    return {
      connectInitial: this.#connectInitial,
      clientInfo: this.#clientInfo,
      ids: this.#acceptor.ids,
      deactivate: this.#desktop === null ? null : this.#acceptor.deactivate(),
    };
  }

  /** Half a PDU, for whoever takes the client over. */
  handOver(): Uint8Array {
    this.#isOver = true;
    return this.#acceptor.takeRest();
  }

  /** The driver saw the connection end, or lost patience. */
  stop(how: 'left' | 'late' | 'tlsFailed', problem: string): Step<HoldEvent<A>> {
    if (!this.#isOver) this.#end(how, problem);
    return this.#flush();
  }

  #flush(): Step<HoldEvent<A>> {
    const step = { output: concat(this.#output), events: this.#events };
    this.#output = [];
    this.#events = [];
    return step;
  }

  #guarded(run: () => void): Step<HoldEvent<A>> {
    try {
      run();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#end('garbage', error.message);
    }
    return this.#flush();
  }

  #end(how: HoldEnding, problem: string): void {
    this.#isOver = true;
    this.#events.push({ kind: 'ended', how, at: 'begun', problem });
  }

  #take({ output, events }: Step<AcceptorEvent>): void {
    this.#output.push(output);
    for (const event of events) this.#on(event);
    // Once for all that came together: who types faster than we draw must not keep us drawing.
    if (this.#desktop === null) return;
    if (this.#asksForAll) this.#refresh(this.#desktop);
    this.#draw(this.#display?.draw() ?? []);
  }

  #refresh(desktop: HeldDesktop): void {
    this.#asksForAll = false;
    if (this.#refreshesLeft === 0) return;
    this.#refreshesLeft -= 1;
    this.#open(desktop);
  }

  #on(event: AcceptorEvent): void {
    switch (event.kind) {
      case 'connectInitial':
        this.#blocks = event.blocks;
        return;
      case 'clientInfo':
        this.#clientInfo = event.data;
        this.#events.push({ kind: 'clientInfo', info: event.info, blocks: this.#blocks });
        return;
      case 'active':
        this.#active(event.shape, event.capabilitySets);
        return;
      case 'fastPathInput':
        for (const each of event.input.events) this.#input(each);
        return;
      case 'shareData':
        this.#shareData(event.pdu);
        return;
      case 'ended':
        if (event.reason === 'refused') this.#end('refused', '');
        else this.#end('left', 'the client left');
    }
  }

  #active(shape: DesktopShape, capabilitySets: CapabilitySet[]): void {
    const core = this.#blocks.find((block) => block.kind === 'core');
    if (core === undefined) return;
    this.#desktop = { shape, core, capabilitySets };
    this.#open(this.#desktop);
  }

  #shareData(pdu: ShareDataPdu): void {
    if (pdu.pduType2 === PduType2.input)
      for (const event of decode(slowPathInput, pdu.data).events) {
        const fast = toFastPath(event);
        if (fast !== null) this.#input(fast);
      }
    if (pdu.pduType2 === PduType2.refreshRect) this.#asksForAll = true;
  }

  #open(desktop: HeldDesktop): void {
    this.#draw(this.#display?.open(desktop) ?? []);
  }

  #input(event: FastPathInputEvent): void {
    if (this.#display === null) return;
    const answer = this.#display.input(event);
    if (answer !== null) this.#events.push({ kind: 'answered', answer });
  }

  #draw(updates: readonly Uint8Array[]): void {
    for (const data of updates)
      this.#output.push(
        this.#takesFastPath
          ? this.#acceptor.fastPath([
              {
                updateCode: FastPathUpdateCode.bitmap,
                fragmentation: Fragmentation.single,
                compression: 0,
                data: concat([Uint8Array.of(UpdateType.bitmap, 0), data]),
              },
            ])
          : this.#acceptor.shareData(PduType2.update, slowPathUpdate, { updateType: UpdateType.bitmap, data }),
      );
  }

  get #takesFastPath(): boolean {
    const general = this.#desktop?.capabilitySets.find((set) => set.kind === 'general');
    return ((general?.extraFlags ?? 0) & GeneralExtraFlag.fastpathOutputSupported) !== 0;
  }
}
