/** The judging thread: holds a chunk's index against the rules. Slower than everything that records. */
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { decodeIndexSegment } from '@lucid-sessions/recording/session-index';
import { DecodeError } from '@lucid-sessions/wire';
import type { ThreadAnswer } from '../thread-calls.ts';
import type { JudgeRequest, JudgeResult } from './judge-messages.ts';
import { judgeSegment } from './judge-segment.ts';

const niceness = 10;

async function judge({ file, openedUs, rules, progress }: JudgeRequest): Promise<JudgeResult> {
  try {
    return judgeSegment(await decodeIndexSegment(file), openedUs, rules, progress);
  } catch (error) {
    if (error instanceof DecodeError) return null;
    throw error;
  }
}

async function answer({ call, request }: { call: number; request: JudgeRequest }): Promise<void> {
  let said: ThreadAnswer<JudgeResult>;
  try {
    said = { call, result: await judge(request) };
  } catch (error) {
    said = { call, error: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(said);
}

// Of this thread alone, where the system knows threads by numbers of their own (Linux).
if (process.platform === 'linux') setPriority(niceness);

parentPort?.on('message', (asked: { call: number; request: JudgeRequest }) => void answer(asked));
