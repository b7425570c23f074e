/** Network level authentication of the client: CredSSP inside TLS, before RDP goes on. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { TLSSocket } from 'node:tls';
import { CredSspClient, type CredSspClientEvent, subjectPublicKeyOf } from '@lucid-sessions/rdp/auth';

export interface ClientLogonOptions {
  username: string;
  password: string;
  domain?: string;
  /** NTLM as it is unless told otherwise. */
  envelope?: 'raw' | 'spnego';
}

export type LogonFailed = Extract<CredSspClientEvent, { kind: 'ended' }>;

/** Resolves with what came behind the server's last message, or with why it refused. The socket has no reader afterwards. */
export function logOn(
  tls: TLSSocket,
  targetHost: string,
  earlyAuthorization: boolean,
  { username, password, domain = '', envelope = 'raw' }: ClientLogonOptions,
): Promise<Uint8Array | LogonFailed> {
  const client = new CredSspClient({
    credentials: { username, domain, password },
    targetName: `TERMSRV/${targetHost}`,
    workstation: hostname().slice(0, 15),
    publicKey: subjectPublicKeyOf(new Uint8Array(tls.getPeerX509Certificate()?.raw ?? [])),
    envelope,
    earlyAuthorization,
    restrictedAdmin: false,
    minimumVersion: 5,
    platform: { randomBytes: (length) => new Uint8Array(randomBytes(length)), nowMs: Date.now },
  });
  return new Promise((resolve) => {
    const run = ({ output, events }: ReturnType<CredSspClient['start']>): void => {
      if (output.length > 0 && tls.writable) tls.write(output);
      for (const event of events) {
        tls.off('data', onData).off('close', onClose);
        resolve(event.kind === 'ended' ? event : client.takeRest());
      }
    };
    const onData = (bytes: Buffer): void => run(client.step(bytes));
    const onClose = (): void => run(client.closed());
    tls.on('data', onData).on('close', onClose);
    run(client.start());
  });
}
