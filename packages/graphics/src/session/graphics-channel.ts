import type { DynamicChannelPdu } from '@lucid-sessions/rdp';
import type { HistoryDepth } from '@lucid-sessions/rdp/bulk';
import type { MainChroma } from '../avc/chroma-votes.ts';
import { type H264DecoderFactory, H264MissingError } from '../avc/h264-decoder.ts';
import { GraphicsPipeline, type GraphicsPipelineSnapshot } from '../gfx/index.ts';
import type { Screen } from '../screen.ts';

/** Counted where there is no decoder for H.264 at all. */
export const h264MissingKind = 'gfx.h264.noDecoder';

export interface GraphicsChannelSnapshot {
  readonly channelId: number;
  readonly pipeline: GraphicsPipelineSnapshot | null;
}

/** The dynamic channel of the graphics pipeline, opened, closed and opened anew: [MS-RDPEGFX] 2.1. */
export class GraphicsChannel {
  static readonly channelName = 'Microsoft::Windows::RDS::Graphics';
  readonly #screen: Screen;
  readonly #createH264Decoder: H264DecoderFactory | undefined;
  #pipeline: GraphicsPipeline | null = null;
  #channelId = -1;
  /** The first failure that was not the stream's fault. */
  failure: unknown;

  constructor(screen: Screen, createH264Decoder: H264DecoderFactory | undefined) {
    this.#screen = screen;
    this.#createH264Decoder = createH264Decoder;
  }

  /** The channel's state as plain values; null where the pipeline's state can't be saved now. */
  snapshot(depth?: HistoryDepth): GraphicsChannelSnapshot | null {
    const pipeline = this.#pipeline?.snapshot(depth) ?? null;
    if (this.#pipeline && !pipeline) return null;
    return { channelId: this.#channelId, pipeline };
  }

  get usesHistory(): boolean {
    return this.#pipeline?.usesHistory ?? false;
  }

  get mainChroma(): readonly MainChroma[] {
    return this.#pipeline?.mainChroma ?? [];
  }

  restore(snapshot: GraphicsChannelSnapshot): void {
    this.close();
    this.#channelId = snapshot.channelId;
    if (snapshot.pipeline) this.#open().restore(snapshot.pipeline);
  }

  /** A new channel begins with a new history, surfaces and caches. */
  track(pdu: DynamicChannelPdu): void {
    if (pdu.kind === 'createRequest' && pdu.channelName === GraphicsChannel.channelName) {
      this.close();
      this.#channelId = pdu.channelId;
    } else if (pdu.kind === 'close' && pdu.channelId === this.#channelId) {
      this.close();
    }
  }

  /** One message of the server. Failures of the H.264 decoder are counted and kept in `failure`. */
  process(message: Uint8Array, later = false): void | Promise<void> {
    return this.#guarded(() => this.#open().process(message, later));
  }

  /** See `GraphicsPipeline.settle`. */
  settle(): void | Promise<void> {
    return this.#guarded(() => this.#pipeline?.settle());
  }

  #guarded(work: () => void | Promise<void>): void | Promise<void> {
    try {
      return work()?.catch((error) => this.#failed(error));
    } catch (error) {
      this.#failed(error);
    }
  }

  #open(): GraphicsPipeline {
    const createH264Decoder = this.#createH264Decoder;
    this.#pipeline ??= new GraphicsPipeline({ screen: this.#screen, ...(createH264Decoder && { createH264Decoder }) });
    return this.#pipeline;
  }

  #failed(error: unknown): void {
    this.failure ??= error;
    const kind = error instanceof H264MissingError ? h264MissingKind : 'gfx.h264.failed';
    const place = this.#pipeline?.failurePlace;
    this.#screen.countUnsupported(kind, place?.area ?? null, place?.timeUs);
  }

  close(): void {
    this.#pipeline?.close();
    this.#pipeline = null;
  }
}
