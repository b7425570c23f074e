/** TLS of both sides. AES-128-GCM first: the fastest of TLS 1.3's suites here, and strong enough for decades. */
import type { SecureContextOptions } from 'node:tls';

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
    // What Windows Server 2012 and XRDP of its age offer without ECDHE.
    'DHE-RSA-AES128-GCM-SHA256',
    'AES128-GCM-SHA256',
    'AES256-GCM-SHA384',
  ].join(':'),
  honorCipherOrder: true,
};
