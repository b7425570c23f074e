/** Witnesses of the embedded log, from the environment. */
import { createHash } from 'node:crypto';
import type { StoragePort } from '@lucid-sessions/contract';
import { noteAlgorithms, parseNoteKey } from '@lucid-sessions/evidence';
import { type Environment, EnvironmentError, readInteger, readText, readUrl } from '@lucid-sessions/kit';
import { LogWitnesses, type WitnessAddress } from '@lucid-sessions/log';
import { nodeCrypto } from '@lucid-sessions/node';

const witnessesMax = 16;
const mustBe = `must be at most ${witnessesMax} witnesses, with commas, each its verifier key (name+hash+base64), a space and its URL`;

/** None when LUCID_WITNESSES is not set. */
export function readWitnesses(environment: Environment): WitnessAddress[] {
  const rules = readText(environment, 'LUCID_WITNESSES', '')
    .split(',')
    .map((rule) => rule.trim())
    .filter((rule) => rule !== '');
  if (rules.length > witnessesMax) throw new EnvironmentError('LUCID_WITNESSES', mustBe);
  return rules.map(witnessOf);
}

function witnessOf(rule: string): WitnessAddress {
  const [vkey = '', url = '', ...more] = rule.split(/\s+/);
  try {
    const key = parseNoteKey(vkey);
    if (more.length === 0 && key.algorithm === noteAlgorithms.cosignatureV1)
      return { key, url: readUrl({ LUCID_WITNESSES: url }, 'LUCID_WITNESSES', '') };
  } catch (thrown) {
    throw new EnvironmentError('LUCID_WITNESSES', `${mustBe} (${(thrown as Error).message})`);
  }
  throw new EnvironmentError('LUCID_WITNESSES', mustBe);
}

/** Null without witnesses. */
export function startWitnesses(
  environment: Environment,
  log: ConstructorParameters<typeof LogWitnesses>[0]['log'],
  deps: {
    storage: Pick<StoragePort, 'appendAudit'>;
    nowUs: () => number;
    say: (line: string) => void;
    onRound?: (outcome: { agreed: number; conflicts: number }) => void;
  },
): LogWitnesses | null {
  const witnesses = readWitnesses(environment);
  if (witnesses.length === 0) return null;
  const bounds = { min: 1, max: 3600, fallback: 2 };
  const started = new LogWitnesses({
    log,
    crypto: nodeCrypto,
    witnesses,
    everyMs: readInteger(environment, 'LUCID_WITNESS_SECONDS', bounds) * 1000,
    onProblem: deps.say,
    ...(deps.onRound === undefined ? {} : { onRound: deps.onRound }),
    onConflict: (witness, message) => {
      const alarm = `ALARM: the witness ${witness} contradicts our transparency log: ${message}`;
      deps.say(alarm);
      deps.storage.appendAudit(conflictEvent(alarm, witness, deps.nowUs())).catch((thrown: unknown) => {
        deps.say(`the alarm could not be written to the audit log: ${String(thrown)}`);
      });
    },
  });
  started.start();
  return started;
}

/** One event for one contradiction, however often it is told. */
const conflictEvent = (alarm: string, witness: string, timestampUs: number) => ({
  eventId: `witness:${createHash('sha256').update(alarm).digest('hex')}`,
  timestampUs,
  eventType: 'log_contradicted',
  userId: null,
  resourceId: null,
  ipAddress: null,
  userAgent: null,
  success: false,
  errorMessage: alarm,
  details: { witness },
});
