import type { AttemptReason } from '@lucid-sessions/contract';

/** Why a browser got no further, as the HTTP status its client shows: RDCleanPath has no words. The page says them. */
export function httpStatusOf(reason: AttemptReason): number {
  switch (reason) {
    case 'expired':
      return 401;
    case 'no_route':
    case 'target_denied':
      return 403;
    case 'unknown_session':
    case 'not_reserved':
      return 404;
    case 'not_startable':
    case 'in_use':
      return 409;
    case 'rate_limited':
    case 'at_capacity':
      return 429;
    case 'unavailable':
    case 'recording_not_persisted':
    case 'recorder_shutdown':
      return 503;
    default:
      return 502;
  }
}
