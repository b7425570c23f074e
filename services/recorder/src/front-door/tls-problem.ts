/** What went wrong with TLS, in words for people: OpenSSL's own speak of its sources. */

const sentences: Record<string, string> = {
  ECONNRESET: 'the connection was closed during TLS',
  EPIPE: 'the connection was closed during TLS',
  ETIMEDOUT: 'the connection was lost during TLS',
  EPROTO: 'what it sends is not TLS',
  ERR_SSL_WRONG_VERSION_NUMBER: 'what it sends is not TLS',
  ERR_SSL_HTTP_REQUEST: 'what it sends is not TLS',
  ERR_SSL_HTTPS_PROXY_REQUEST: 'what it sends is not TLS',
  ERR_SSL_UNEXPECTED_MESSAGE: 'what it sends is not TLS',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'what it sends is not TLS',
  ERR_SSL_BAD_RECORD_TYPE: 'what it sends is not TLS',
  ERR_SSL_UNEXPECTED_EOF_WHILE_READING: 'the connection was closed during TLS',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'it knows only old versions of TLS',
  ERR_SSL_VERSION_TOO_LOW: 'it knows only old versions of TLS',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'it knows only old versions of TLS',
  ERR_SSL_NO_SHARED_CIPHER: 'there is no cipher suite both sides allow',
  ERR_SSL_NO_CIPHERS_AVAILABLE: 'there is no cipher suite both sides allow',
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: 'there is no cipher suite both sides allow',
  'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE': 'there is no cipher suite both sides allow',
  ERR_SSL_TLSV1_ALERT_INSUFFICIENT_SECURITY: 'there is no cipher suite both sides allow',
  ERR_SSL_WRONG_CIPHER_RETURNED: 'there is no cipher suite both sides allow',
  ERR_SSL_DH_KEY_TOO_SMALL: 'its Diffie-Hellman key is too short',
  ERR_SSL_EE_KEY_TOO_SMALL: "its certificate's key is too short",
  ERR_SSL_CA_MD_TOO_WEAK: "its certificate's signature is too weak",
  ERR_SSL_WRONG_SIGNATURE_TYPE: "its certificate's signature is too weak",
  ERR_SSL_UNSAFE_LEGACY_RENEGOTIATION_DISABLED: 'it does not know secure renegotiation (RFC 5746)',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'it does not trust our certificate',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'it does not trust our certificate',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: 'it does not trust our certificate',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'it does not trust our certificate',
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: 'it can do nothing with our certificate',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'it demands a certificate of ours',
  ERR_SSL_TLSV1_ALERT_ACCESS_DENIED: 'it denied access',
  ERR_SSL_TLSV1_ALERT_USER_CANCELLED: 'it broke the handshake off',
  ERR_TLS_RENEGOTIATION_DISABLED: 'it wanted to negotiate TLS anew, which is refused',
  ERR_TLS_SESSION_ATTACK: 'it wanted to negotiate TLS anew, which is refused',
  ERR_SSL_NO_RENEGOTIATION: 'it wanted to negotiate TLS anew, which is refused',
};

const codePattern = /^[A-Z][A-Z0-9_/]{1,79}$/;
const codeOf = (error: unknown): string => {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && codePattern.test(code) ? code : 'unknown';
};

/** One sentence, without what OpenSSL says. What has no sentence keeps its code's name, which can be looked up. */
export function tlsProblem(error: unknown): string {
  const code = codeOf(error);
  return (Object.hasOwn(sentences, code) ? sentences[code] : undefined) ?? `the TLS handshake failed (${code})`;
}

const certificateSentences: Record<string, string> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it is signed only by itself',
  SELF_SIGNED_CERT_IN_CHAIN: 'it leads to a root this machine does not trust',
  UNABLE_TO_GET_ISSUER_CERT: 'its issuer is not known here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its issuer is not known here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its issuer is not known here',
  CERT_HAS_EXPIRED: 'it has expired',
  CERT_NOT_YET_VALID: 'it is not valid yet',
  CERT_REVOKED: 'it was revoked',
  CERT_UNTRUSTED: 'it is not trusted here',
  CERT_REJECTED: 'it is rejected here',
  INVALID_PURPOSE: 'it is not meant for servers',
  INVALID_CA: 'its issuer may not issue certificates',
  PATH_LENGTH_EXCEEDED: 'its chain is too long',
  CERT_CHAIN_TOO_LONG: 'its chain is too long',
  CERT_SIGNATURE_FAILURE: 'its signature is wrong',
  HOSTNAME_MISMATCH: 'it is for another name',
  ERR_TLS_CERT_ALTNAME_INVALID: 'it is for another name',
  ERR_TLS_CERT_ALTNAME_FORMAT: 'its names are malformed',
};

/** Why a certificate is not trusted; `problem` is an error or the code Node gives. */
export function certificateProblem(problem: unknown): string {
  const code = typeof problem === 'string' && codePattern.test(problem) ? problem : codeOf(problem);
  const sentence = Object.hasOwn(certificateSentences, code) ? certificateSentences[code] : undefined;
  return sentence === undefined ? `it can't be verified (${code})` : `${sentence} (${code})`;
}
