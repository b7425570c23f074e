import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { ErrorInfo } from '@lucid-sessions/rdp';
import { ConnectFailure } from './failure.ts';
import type { GatewayIdentity } from './identity.ts';

/** TLS as the server on a client's connection. Rejects with `ConnectFailure('client_tls_failed')`. */
export function acceptTls(tcp: Socket, identity: GatewayIdentity, signal: AbortSignal): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = new TLSSocket(tcp, { isServer: true, secureContext: identity.context, requestCert: false });
    const settle = (): void => {
      signal.removeEventListener('abort', onAbort);
      socket.off('error', onError).off('close', onClose).off('end', onClose).off('secure', onSecure);
      socket.off('readable', onReadable);
      socket.on('error', () => {});
    };
    const fail = (message: string): void => {
      settle();
      socket.destroy();
      reject(new ConnectFailure('client_tls_failed', ErrorInfo.none.code, message));
    };
    const onError = (error: Error): void => fail(`TLS with the client failed: ${error.message}`);
    const onClose = (): void => fail('the client closed the connection during TLS');
    // Without someone reading, a client that hangs up in the middle would go unnoticed.
    const onReadable = (): void => {
      const bytes = socket.read() as Buffer | null;
      if (bytes !== null) socket.unshift(bytes);
    };
    const onAbort = (): void => fail('the client did not finish TLS in time');
    const onSecure = (): void => {
      settle();
      resolve(socket);
    };
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener('abort', onAbort);
    socket.on('error', onError).on('close', onClose).on('end', onClose).on('secure', onSecure);
    socket.on('readable', onReadable);
  });
}
