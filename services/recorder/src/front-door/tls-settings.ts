/** TLS of both sides. AES-128-GCM first: the fastest of TLS 1.3's suites here, and strong enough for decades. */
import { constants } from 'node:crypto';
import type { SecureContextOptions, TLSSocket } from 'node:tls';

/** Negotiating anew inside a connection is work that a peer can order without end, and nothing of RDP needs it. */
const secureOptions = constants.SSL_OP_NO_RENEGOTIATION;

/** Only with forward secrecy: a key that is stolen one day opens nothing of what was said before. */
export const tlsSettings: SecureContextOptions = {
  minVersion: 'TLSv1.2',
  ciphers: [
    'TLS_AES_128_GCM_SHA256',
    'TLS_AES_256_GCM_SHA384',
    'TLS_CHACHA20_POLY1305_SHA256',
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES256-GCM-SHA384',
    'ECDHE-ECDSA-CHACHA20-POLY1305',
    'ECDHE-RSA-CHACHA20-POLY1305',
    // What Windows Server 2012 and XRDP of its age offer without ECDHE.
    'DHE-RSA-AES128-GCM-SHA256',
    'DHE-RSA-AES256-GCM-SHA384',
  ].join(':'),
  honorCipherOrder: true,
  secureOptions,
};

/** For targets a session or listener names as old (`legacy_tls`): TLS 1.0, CBC, RSA key exchange, SHA-1, short keys. */
export const legacyTlsSettings: SecureContextOptions = {
  minVersion: 'TLSv1',
  ciphers: 'ALL:!aNULL:!eNULL:@SECLEVEL=0',
  secureOptions: secureOptions | constants.SSL_OP_LEGACY_SERVER_CONNECT,
};

/** Version and suite, as they are recorded: `TLSv1.3 TLS_AES_128_GCM_SHA256`. */
export const tlsName = (socket: TLSSocket): string =>
  `${socket.getProtocol() ?? 'TLS'} ${socket.getCipher()?.standardName ?? 'unknown'}`;

/** Version and suite are what is taken from any target. */
export const isModern = (socket: TLSSocket): boolean => {
  const protocol = socket.getProtocol();
  const name = socket.getCipher()?.name ?? '';
  return protocol === 'TLSv1.3' || (protocol === 'TLSv1.2' && (tlsSettings.ciphers ?? '').split(':').includes(name));
};
