/** A witness after C2SP tlog-witness, for tests of our submissions: remembers one log and cosigns what extends it. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  checkNote,
  cosign,
  ed25519NoteSigner,
  formatNote,
  formatNoteKey,
  fromBase64,
  type NoteKey,
  type NoteSigner,
  noteAlgorithms,
  parseSignedCheckpoint,
  verifyConsistency,
} from '@lucid-sessions/evidence';
import { nodeCrypto } from '@lucid-sessions/node';
import { equalBytes } from '@lucid-sessions/wire';

interface Reply {
  status: number;
  text: string;
}

export class LogWitness {
  readonly #signer: NoteSigner;
  readonly #server: Server;
  readonly #logKey: () => NoteKey;
  #known: { size: number; root: Uint8Array } = { size: 0, root: new Uint8Array(32) };
  /** Answers these first, one after the other. */
  readonly nextAnswers: (Reply | 'drop')[] = [];
  requestsCount = 0;
  nowSeconds: () => number = () => Math.floor(Date.now() / 1000);

  private constructor(signer: NoteSigner, logKey: () => NoteKey) {
    this.#signer = signer;
    this.#logKey = logKey;
    this.#server = createServer((request, response) => {
      let body = '';
      request.on('data', (part: Buffer) => {
        body += part.toString();
      });
      request.on('end', () => {
        this.requestsCount += 1;
        const next = this.nextAnswers.shift();
        if (next === 'drop') return void request.socket.destroy();
        const isOurs = request.method === 'POST' && request.url === '/witness/add-checkpoint';
        Promise.resolve(next ?? (isOurs ? this.#add(body) : { status: 404, text: '' })).then(
          ({ status, text }) => response.writeHead(status).end(text),
          () => response.writeHead(400).end(),
        );
      });
    });
  }

  /** `logKey`: the one log it knows; asked at each request, for it may be made later. */
  static async start(name: string, logKey: () => NoteKey, seed = 7): Promise<LogWitness> {
    const base = await ed25519NoteSigner(nodeCrypto, name, new Uint8Array(32).fill(seed));
    const key = { ...base.key, algorithm: noteAlgorithms.cosignatureV1 };
    const witness = new LogWitness({ key, sign: base.sign }, logKey);
    await new Promise<void>((resolve) => witness.#server.listen(0, '127.0.0.1', () => resolve()));
    return witness;
  }

  get key(): NoteKey {
    return this.#signer.key;
  }
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/witness`;
  }
  /** As `LUCID_WITNESSES` takes it. */
  get setting(): string {
    return `${formatNoteKey(this.key)} ${this.url}`;
  }
  get knownSize(): number {
    return this.#known.size;
  }

  async #add(body: string): Promise<Reply> {
    const at = body.indexOf('\n\n');
    const [old = '', ...proof] = body.slice(0, at).split('\n');
    const oldSize = Number(/^old (\d+)$/.exec(old)?.[1] ?? Number.NaN);
    const { note, size, root, origin } = parseSignedCheckpoint(body.slice(at + 2));
    const logKey = this.#logKey();
    if (origin !== logKey.name) return { status: 404, text: '' };
    if ((await checkNote(nodeCrypto, note, logKey)) !== 'good') return { status: 403, text: '' };
    if (!(oldSize <= size)) return { status: 400, text: '' };
    if (oldSize !== this.#known.size || (oldSize === size && !equalBytes(root, this.#known.root)))
      return { status: 409, text: `${this.#known.size}\n` };
    const claim = { first: oldSize, firstRoot: this.#known.root, second: size, secondRoot: root };
    const hashes = proof.map((line) => fromBase64(line));
    if (oldSize > 0 && !verifyConsistency({ ...claim, proof: hashes })) return { status: 422, text: '' };
    this.#known = { size, root };
    const signature = await cosign(this.#signer, note.text, this.nowSeconds());
    return { status: 200, text: formatNote({ text: note.text, signatures: [signature] }).slice(note.text.length + 1) };
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
