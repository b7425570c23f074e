/**
 * Loaded first (`--import`) into a process and its threads: the wall clock is set forward or back by the milliseconds in the
 * file named by `CRASH_CLOCK_FILE`, while it runs. The monotonic clock goes on, as on a real machine.
 */
import { readFileSync } from 'node:fs';

const path = process.env.CRASH_CLOCK_FILE;
if (path === undefined) throw new Error('set CRASH_CLOCK_FILE to a file with a number of milliseconds');
const systemMs = Date.now;
Date.now = () => systemMs() + Number(readFileSync(path, 'utf8'));
