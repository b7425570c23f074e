export { tokenSha256 } from './admit.ts';
export * from './config.ts';
export { newJournal, type PipelineDeps } from './context.ts';
export { gatewayUserOf, makeSecret, secretAlphabet } from './gateway-credentials.ts';
export * from './http.ts';
export { backoffMs } from './job-runner.ts';
export * from './ports.ts';
export * from './service.ts';
export * from './state-machine.ts';
