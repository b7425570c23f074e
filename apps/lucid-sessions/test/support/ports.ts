import { freePorts } from '@lucid-sessions/testkit';

export const portVariables = [
  'SESSION_PIPELINE_PORT',
  'SESSION_RECORDER_PORT',
  'CHUNK_PROCESSOR_PORT',
  'SESSION_STORAGE_PORT',
  'SESSION_API_PORT',
  'RDP_LISTEN_PORT',
] as const;
export type PortVariable = (typeof portVariables)[number];

/** Every port `up` needs, free now. */
export async function openPorts(): Promise<Record<PortVariable | 'RDP_LISTEN_HOST', string>> {
  const ports = await freePorts(portVariables.length);
  const entries = portVariables.map((name, at) => [name, String(ports[at])]);
  return { ...(Object.fromEntries(entries) as Record<PortVariable, string>), RDP_LISTEN_HOST: '127.0.0.1' };
}
