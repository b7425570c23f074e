/** Whether sessions may lead to an address, as far as its name says. */
import { isLucidError, LucidError, type RdpConfig } from '@lucid-sessions/contract';
import type { Call } from './call.ts';

/**
 * The same words whatever forbids it. What only resolving its name tells is looked at when it is dialled, and so is everything
 * where the recorder, whose policy it is, can't be asked now.
 */
export async function checkAddress(
  { api }: Pick<Call, 'api'>,
  { host, port }: Pick<RdpConfig, 'host' | 'port'>,
): Promise<void> {
  const judged = await api.deps.recorder.judgeTarget({ host, port }).catch((thrown: unknown) => {
    if (isLucidError(thrown, 'unavailable')) return { open: true };
    throw thrown;
  });
  if (judged.open) return;
  throw new LucidError(
    'invalidRequest',
    'sessions may not lead to this host and port here; ask whoever runs the gateway which targets are open',
    { details: { 'rdp_config.host': 'not among the targets that are open' } },
  );
}
