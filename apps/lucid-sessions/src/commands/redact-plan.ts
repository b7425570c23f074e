/** What is to be taken out, as the console writes it into a file. */
import { readFile } from 'node:fs/promises';
import { signRedactionRequest } from '@lucid-sessions/contract';
import type { RedactionPlan } from '@lucid-sessions/evidence';
import { CliError, exitCodes } from '../cli/output.ts';

const planSchema = signRedactionRequest.pick({ boxes: true, spans: true, event_kinds: true });

export async function readPlan(path: string): Promise<RedactionPlan> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch {
    throw new CliError(`${path} can't be read as JSON`, exitCodes.usage);
  }
  const plan = planSchema.safeParse(value);
  if (!plan.success)
    throw new CliError(
      `${path} is no plan: ${plan.error.issues.map(({ path: at, message }) => `${at.join('.')} ${message}`).join('; ')}`,
      exitCodes.usage,
    );
  return plan.data;
}
