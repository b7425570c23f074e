/** The console in a real browser, as a person with an access token uses it. */
import type { TestContext } from 'node:test';
import { type LinkFor, signInLink } from '@lucid-sessions/testkit';
import { type Browser, chromium, type Locator, type Page } from 'playwright-core';
import { PNG } from 'pngjs';

/** What tests ask of `<lucid-player>` inside the page. */
interface PlayerElement extends HTMLElement {
  currentTime: number;
  duration: number;
  state: 'paused' | 'playing' | 'loading' | 'ended';
  png(): Promise<Blob>;
}

export type PlayerState = Pick<PlayerElement, 'currentTime' | 'duration' | 'state'>;

export async function startBrowser(t: TestContext): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
    // The sandbox needs privileges that containers lack; the pages opened are this repository's own.
    args: ['--no-sandbox'],
  });
  t.after(() => browser.close());
  return browser;
}

/** An end to waiting, not a measure: pictures are decoded by a machine that may be busy. */
const waitMsMax = 120_000;

/** A tab of its own, which notes what must never happen and what was asked of the server. */
export class ConsolePage {
  readonly page: Page;
  /** Errors, violations of the content security policy, requests to other origins. */
  readonly problems: string[] = [];
  /** Paths asked of the console's own origin, by the page or its workers. */
  readonly requests: string[] = [];

  private constructor(page: Page, origin: string) {
    this.page = page;
    page.on('pageerror', (error) => this.problems.push(`error: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error') this.problems.push(`console: ${message.text()}`);
    });
    page.context().on('request', (request) => {
      const url = new URL(request.url());
      if (url.protocol === 'blob:' || url.protocol === 'data:') return;
      if (url.origin === origin) this.requests.push(url.pathname);
      else this.problems.push(`elsewhere: ${url}`);
    });
  }

  static async open(browser: Browser, address: string): Promise<ConsolePage> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 820 } });
    context.setDefaultTimeout(waitMsMax);
    const page = await context.newPage();
    const opened = new ConsolePage(page, new URL(address).origin);
    await page.exposeFunction('noteViolation', (text: string) => opened.problems.push(`policy: ${text}`));
    await page.addInitScript(() => {
      const told = window as unknown as { noteViolation(text: string): void };
      document.addEventListener('securitypolicyviolation', (event) =>
        told.noteViolation(`${event.violatedDirective} ${event.blockedURI}`),
      );
    });
    await page.goto(address);
    return opened;
  }

  /** `token`: an administrator's. */
  async signIn(token: string, account: Pick<LinkFor, 'userId' | 'roles'> = {}): Promise<void> {
    const { link, button } = await signInLink({ url: new URL(this.page.url()).origin, token, ...account });
    await this.page.goto(link);
    await this.page.getByRole('button', { name: button }).click();
    await this.page.getByRole('heading', { name: 'Sessions', level: 1 }).waitFor();
  }

  /** Finds the one session of this name in the list and opens it. */
  async openSession(name: string): Promise<void> {
    await this.page.keyboard.press('/');
    await this.page.keyboard.type(name);
    // The list may hold but one session before it is searched: the address tells when it was.
    await this.page.waitForURL((url) => url.searchParams.get('search') === name);
    await this.page.getByText('1 session', { exact: true }).waitFor();
    await this.page.getByRole('link', { name }).click();
    await this.waitForPicture();
  }

  async waitForPicture(): Promise<void> {
    await this.page.waitForFunction(() => {
      const player = document.querySelector<PlayerElement>('lucid-player');
      return player !== null && player.duration > 0 && player.state !== 'loading';
    });
  }

  get evidence(): Locator {
    return this.page.getByRole('region', { name: 'Evidence' });
  }
  get events(): Locator {
    return this.page.getByRole('region', { name: 'Events' });
  }
  get timeline(): Locator {
    return this.page.getByRole('slider', { name: 'Position' });
  }

  async focusPicture(): Promise<void> {
    await this.page.locator('.stage').focus();
  }

  state(): Promise<PlayerState> {
    return this.page.evaluate(() => {
      const { currentTime, duration, state } = document.querySelector<PlayerElement>('lucid-player')!;
      return { currentTime, duration, state };
    });
  }

  /** The state once the position has moved on from the one told now. */
  async laterThanNow(): Promise<PlayerState> {
    const { currentTime } = await this.state();
    await this.page.waitForFunction(
      (before) => document.querySelector<PlayerElement>('lucid-player')!.currentTime > before,
      currentTime,
    );
    return this.state();
  }

  /** Waits until the picture of a moment, in seconds, is there. */
  async restingAt(seconds: number, toleranceSeconds = 0.001): Promise<void> {
    await this.page.waitForFunction(
      ([at, tolerance]) => {
        const { currentTime, state } = document.querySelector<PlayerElement>('lucid-player')!;
        return Math.abs(currentTime - at) <= tolerance && (state === 'paused' || state === 'ended');
      },
      [seconds, toleranceSeconds] as const,
    );
  }

  async ended(): Promise<void> {
    await this.page
      .waitForFunction(() => document.querySelector<PlayerElement>('lucid-player')!.state === 'ended')
      .catch(async (cause: Error) => {
        throw new Error(`the end was not reached: ${JSON.stringify(await this.state())}`, { cause });
      });
  }

  /** The canvas, pixel by pixel at its own size. */
  async canvas(): Promise<PNG> {
    const base64 = await this.page.evaluate(async () => {
      const blob = await document.querySelector<PlayerElement>('lucid-player')!.png();
      const bytes = new Uint8Array(await blob.arrayBuffer());
      return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
    });
    return PNG.sync.read(Buffer.from(base64, 'base64'));
  }
}
