/** What may be missing, and by whose word: an `erase` record excuses when it was logged and speaks of what is here. */
import { bundleNames } from '../bundle/files.ts';
import type { EraseBody } from '../record/bodies.ts';
import type { CheckId } from './checks.ts';
import type { Context } from './context.ts';
import type { LogResult } from './log.ts';

export function checkErases(context: Context, log: LogResult): void {
  for (const { at, record } of context.erases) {
    const file = bundleNames.erase(at);
    const wrong = contradiction(context, record.body);
    if (wrong !== null) {
      context.findings.add(wrong[0], `the erase record ${wrong[1]}`, { file });
      continue;
    }
    context.states.add('SHREDDED');
    const { erased } = record.body;
    if (erased !== 'chunks') context.erased.keys = true;
    // What was logged can't be made up afterwards to cover for what somebody took away.
    if (erased !== 'keys' && log.erasesLogged.has(at)) context.erased.chunks = true;
  }
  if (context.erased.keys && context.files.has(bundleNames.wraps))
    context.findings.add('R27', 'an erase record says that the keys are destroyed, and here are some', {
      file: bundleNames.wraps,
    });
}

/** In what it does not fit the recording; null: it does. */
function contradiction({ open, manifest, policy }: Context, body: EraseBody): [CheckId, string] | null {
  if (open === null) return ['R26', 'is of a recording without an open record'];
  if (body.dek_id !== null && body.dek_id !== open.body.dek_id) return ['R23', 'names another key'];
  if (manifest !== null && body.merkle_root !== manifest.body.merkle_root) return ['R24', 'names another Merkle root'];
  if (body.at_us + policy.clockToleranceUs < (manifest?.body.ended_us ?? open.body.opened_us))
    return ['R25', 'is from before the recording ended'];
  return null;
}
