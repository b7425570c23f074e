/** The two clipboards: text and pictures cross as somebody copies on one side, where the browser lets this page look. */
import { Backend } from '@devolutions/iron-remote-desktop-rdp';

type RemoteData = InstanceType<typeof Backend.ClipboardData>;

export interface ClipboardTarget {
  onClipboardPaste(data: RemoteData): Promise<void>;
}

const kinds = ['text/plain', 'image/png'] as const;

/** What was copied over there, for the user of this browser. Rejects where the browser does not let this page. */
export async function putLocally(data: RemoteData): Promise<void> {
  const parts: Record<string, Blob> = {};
  for (const item of data.items()) {
    const type = kinds.find((known) => known === item.mimeType());
    if (type !== undefined) parts[type] = new Blob([item.value() as string], { type });
  }
  if (Object.keys(parts).length > 0) await navigator.clipboard.write([new ClipboardItem(parts)]);
}

/** What is copied here, as the other side takes it. Rejects where the browser does not let this page. */
async function readLocally(): Promise<{ data: RemoteData; fingerprint: string }> {
  const data = new Backend.ClipboardData();
  const prints: string[] = [];
  for (const item of await navigator.clipboard.read())
    for (const type of kinds) {
      if (!item.types.includes(type)) continue;
      const blob = await item.getType(type);
      if (type === 'text/plain') {
        const text = await blob.text();
        data.addText(type, text);
        prints.push(text);
      } else {
        data.addBinary(type, new Uint8Array(await blob.arrayBuffer()));
        prints.push(`${type} ${blob.size}`);
      }
    }
  return { data, fingerprint: prints.join('\n') };
}

export class SharedClipboard {
  #known = '';

  /** Hands on what is copied here, if it is something else than before. `isAsked`: the user pressed a button for it. */
  async send(target: ClipboardTarget, isAsked: boolean): Promise<void> {
    if (!isAsked && !(await isAllowed())) return;
    const { data, fingerprint } = await readLocally();
    if (data.isEmpty() || (fingerprint === this.#known && !isAsked)) return;
    this.#known = fingerprint;
    await target.onClipboardPaste(data);
  }

  async take(data: RemoteData): Promise<void> {
    // What came from there must not go back.
    this.#known = data
      .items()
      .filter((item) => item.mimeType() === 'text/plain')
      .map((item) => String(item.value()))
      .join('\n');
    await putLocally(data);
  }
}

/** Without asking the user for it now. */
async function isAllowed(): Promise<boolean> {
  if (!document.hasFocus()) return false;
  try {
    return (await navigator.permissions.query({ name: 'clipboard-read' as PermissionName })).state === 'granted';
  } catch {
    return false;
  }
}
