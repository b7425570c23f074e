export * from './etypes.ts';
export * from './gss-tokens.ts';
export * from './kerberos-client.ts';
export { KerberosSealing } from './kerberos-sealing.ts';
export * from './messages.ts';
export * from './problems.ts';
export * from './ticket-request.ts';
