import { Protocol } from '@lucid-sessions/rdp';

/** What a recording calls the security of a connection to its target, by the protocol that was selected. */
export function securityName(selectedProtocol: number): 'rdp' | 'tls' | 'nla' | 'rdstls' {
  if (selectedProtocol === Protocol.rdp) return 'rdp';
  if (selectedProtocol === Protocol.ssl) return 'tls';
  return selectedProtocol === Protocol.rdstls ? 'rdstls' : 'nla';
}
