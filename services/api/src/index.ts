export { type Authenticator, authenticator, checkJwtKey, type User } from './auth.ts';
export type { ApiDeps } from './call.ts';
export * from './client-address.ts';
export { type CmsSigner, cmsSignature, readCmsSigner } from './cms-signature.ts';
export * from './config.ts';
export { createApiHttp } from './http.ts';
export * from './rate-limiter.ts';
export { signedPart, signRdpFile } from './rdp-sign.ts';
export * from './server.ts';
