import { offerDownload } from '../../ui/download.ts';

interface SaveFile {
  write(data: Uint8Array<ArrayBuffer>): Promise<void>;
  close(): Promise<void>;
  abort(): Promise<void>;
}
/** File System Access API, where the browser has it. */
interface PickingWindow {
  showSaveFilePicker?(options: { suggestedName: string }): Promise<{ createWritable(): Promise<SaveFile> }>;
}

/** A file being saved: streamed to disk where the browser can, else collected and offered as a download at the end. */
export class ExportSink {
  readonly #name: string;
  readonly #file: SaveFile | null;
  #parts: Blob[] = [];
  #pending: Promise<void> = Promise.resolve();

  private constructor(name: string, file: SaveFile | null) {
    this.#name = name;
    this.#file = file;
  }

  /** null when the user chose no file. */
  static async create(name: string): Promise<ExportSink | null> {
    const { showSaveFilePicker: pick } = window as PickingWindow;
    if (!pick) return new ExportSink(name, null);
    try {
      const handle = await pick.call(window, { suggestedName: name });
      return new ExportSink(name, await handle.createWritable());
    } catch (error) {
      if (error instanceof DOMException && error.name === 'AbortError') return null;
      return new ExportSink(name, null);
    }
  }

  write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const { handle, parts } = { handle: this.#file, parts: this.#parts };
    this.#pending = this.#pending.then(async () => {
      if (handle) await handle.write(bytes);
      else parts.push(new Blob([bytes]));
    });
    return this.#pending;
  }

  async finish(mimeType: string): Promise<void> {
    await this.#pending;
    if (this.#file) await this.#file.close();
    else offerDownload(new Blob(this.#parts, { type: mimeType }), this.#name);
  }

  abort(): void {
    this.#parts = [];
    void this.#file?.abort().catch(() => {});
  }
}
