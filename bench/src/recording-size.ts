/**
 * `node bench/src/main.ts recording-size [--seconds 30] [--work bpp16,bpp32,rfx,avc420]`
 *
 * MB a minute of a recording and of the connection to the target for the same steady work (xfreerdp to freerdp-shadow, 1024 × 768, a
 * terminal that scrolls), with RDP bulk compression as the two agree on it and turned off by `;bulk_compression=off`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { eventually, freePort, startShadow, startXfreerdp } from '@lucid-sessions/testkit';
import { type Session, startInstallation } from './installation.ts';
import { scroll } from './session-cost.ts';

const works: Readonly<Record<string, readonly string[]>> = {
  bpp16: ['/bpp:16'],
  bpp32: ['/bpp:32'],
  rfx: ['/rfx'],
  avc420: ['/gfx:AVC420'],
};
const settings = ['on', 'off'] as const;
const settleMsMax = 120_000;

type Measured = Session & { statistics: { duration_seconds: number; compression_ratio: number } };

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: 'string', default: '30' },
      work: { type: 'string', default: Object.keys(works).join(',') },
    },
  });
  console.log('MB a minute: recorded bytes (what crossed), stored bytes (what is kept)');
  for (const name of values.work.split(',')) {
    const flags = works[name];
    if (flags === undefined) throw new Error(`no such work: ${name}; there are ${Object.keys(works).join(', ')}`);
    for (const setting of settings)
      console.log(`${name}, bulk compression ${setting}: ${await measure(flags, setting, Number(values.seconds))}`);
  }
}

async function measure(flags: readonly string[], setting: (typeof settings)[number], seconds: number): Promise<string> {
  const ends: (() => unknown)[] = [];
  try {
    const shadow = await startShadow();
    ends.push(() => shadow.stop());
    const port = await freePort();
    const rule = `${port}=127.0.0.1:${shadow.port};ignore_cert;bulk_compression=${setting}`;
    const installation = await startInstallation({ RDP_LISTENERS: rule }, ends);
    const scroller = scroll(shadow);
    ends.push(() => scroller.kill());
    const client = await startXfreerdp(`127.0.0.1:${port}`, ...flags, '-decorations');
    ends.push(() => client.stop());
    await sleep(seconds * 1000);
    await client.closeClient();
    const [session] = (await eventually(
      'the session is stored',
      async () => {
        const done = await installation.sessions('completed');
        return done.length > 0 && done;
      },
      settleMsMax,
    )) as Measured[];
    const { size_bytes: stored, duration_seconds: duration, compression_ratio: ratio } = session!.statistics;
    const perMinute = (bytes: number): string => ((bytes / 1e6 / duration) * 60).toFixed(2);
    return `recorded ${perMinute(stored / ratio)}, stored ${perMinute(stored)}, of ${duration.toFixed(0)} s`;
  } finally {
    for (const end of ends.reverse()) await end();
  }
}
