/** Chromium for the browser tests. Tests only. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const executablePath = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';

/** Why browser tests can't run here, or null. With REQUIRE_PEERS=1 nothing may be skipped, so a missing browser then fails. */
export function browserMissing(): string | false {
  if (existsSync(executablePath) || process.env.REQUIRE_PEERS === '1') return false;
  return `no chromium at ${executablePath} (set CHROMIUM_PATH)`;
}

export function launchBrowser(): Promise<Browser> {
  // The sandbox needs privileges that containers lack; the pages opened are this repository's own.
  return chromium.launch({ executablePath, args: ['--no-sandbox'] });
}
