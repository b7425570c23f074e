/** Which service may call which port and its methods, and open which door: checked wherever a caller says who it is. */
import type { PortName, Ports } from './rpc-ports.ts';

/** In the order in which they need each other. */
export const serviceNames = ['storage', 'processor', 'pipeline', 'recorder', 'api'] as const satisfies readonly (
  | PortName
  | 'api'
)[];
export type ServiceName = (typeof serviceNames)[number];

type Calls<P extends PortName> = 'all' | readonly (keyof Ports[P] & string)[];
type Callers = { readonly [P in PortName]: Readonly<Partial<Record<ServiceName, Calls<P>>>> };

/** The recorder stands where strangers knock: it may begin and report recordings, not read, change or end anybody's. */
export const rpcCallers: Callers = {
  storage: {
    processor: [
      ...(['acquireLease', 'releaseLease', 'putChunk', 'getChunk', 'listChunks', 'sessionTotals'] as const),
      ...(['readChunk', 'readLeaves', 'putRecord', 'getRecords', 'putWraps', 'getWraps'] as const),
      ...(['putSidecar', 'getSidecar', 'getSession', 'health'] as const),
    ],
    pipeline: 'all',
    api: 'all',
  },
  processor: { recorder: ['seal', 'health'], pipeline: 'all', api: ['signRecord', 'health'] },
  pipeline: {
    recorder: [
      ...(['find', 'targetCredentials', 'approval', 'logonAccount', 'logonTried', 'admit'] as const),
      ...(['beginImport', 'attempted', 'report', 'recorderHere', 'takeOverSpool', 'health'] as const),
    ],
    processor: ['examined', 'alertRules', 'alertsFound', 'health'],
    pipeline: 'all',
    api: 'all',
  },
  recorder: { pipeline: 'all', api: 'all', recorder: ['drain', 'replicaState', 'replicate', 'health'] },
};

/** By the door's name. */
export const doorCallers: Readonly<Record<string, readonly ServiceName[]>> = {
  browser: ['api'],
  rdg: ['api'],
  steer: ['api'],
  passed: ['recorder'],
};

export function mayCall(callers: Iterable<ServiceName>, port: PortName, method: string): boolean {
  const table: Readonly<Partial<Record<ServiceName, 'all' | readonly string[]>>> = rpcCallers[port];
  for (const caller of callers) {
    const calls = table[caller];
    if (calls === 'all' || calls?.includes(method) === true) return true;
  }
  return false;
}

export function mayEnter(callers: Iterable<ServiceName>, door: string): boolean {
  const table = Object.hasOwn(doorCallers, door) ? doorCallers[door]! : [];
  for (const caller of callers) if (table.includes(caller)) return true;
  return false;
}
