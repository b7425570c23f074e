/** Where RD Gateway clients find the API's TLS port, as .rdp files say it. */
import { type Environment, EnvironmentError, readText } from '@lucid-sessions/kit';

export interface GatewayAddress {
  host: string;
  port: number;
}

const httpsPort = 443;
const variable = 'RDP_GATEWAY';
const pattern = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9.-]{1,253}))(?::(\d{1,5}))?$/;

/** The address of the console serves where nothing else is said: it is the same port. Null: neither is known. */
export function readGatewayAddress(environment: Environment, publicUrl: string): GatewayAddress | null {
  const text = readText(environment, variable, '');
  if (text !== '') {
    const [, v6, name, port] = pattern.exec(text) ?? [];
    const host = v6 ?? name;
    if (host !== undefined && Number(port ?? httpsPort) >= 1 && Number(port ?? httpsPort) <= 65_535)
      return { host, port: Number(port ?? httpsPort) };
    throw new EnvironmentError(variable, 'must be host, host:port or [ipv6]:port');
  }
  if (!publicUrl.startsWith('https:')) return null;
  const { hostname, port } = new URL(publicUrl);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || httpsPort) };
}
