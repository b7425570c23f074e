/** The server half of RPC as a pure function: request bytes in, response bytes out. The HTTP around it is in `http/`. */
import { LucidError, toLucidError } from './errors.ts';
import { decodeRpc, encodeRpc } from './rpc-codec.ts';
import { type PortName, type Ports, rpcMethod } from './rpc-ports.ts';
import { checkRpcRequest } from './rpc-schemas.ts';

export interface RpcAnswer {
  status: number;
  body: Uint8Array<ArrayBuffer>;
}

export type RpcHandler = (method: string, request: Uint8Array) => Promise<RpcAnswer>;

export function rpcFailure(thrown: unknown): RpcAnswer {
  const { code, message, details, status } = toLucidError(thrown);
  return { status, body: encodeRpc({ error: { code, message, details, status } }) };
}

/** `onError` sees what was thrown before its text is taken out of the answer. */
export function rpcServer<P extends PortName>(
  port: P,
  implementation: Ports[P],
  onError: (method: string, thrown: unknown) => void = () => {},
): RpcHandler {
  const methods = implementation as unknown as Record<string, (request: unknown) => Promise<unknown>>;
  return async (method, request) => {
    try {
      const limits = rpcMethod(port, method);
      if (limits === null) throw new LucidError('noSuchRoute', `the ${port} port has no method of this name`);
      if (request.length > limits.requestBytesMax)
        throw new LucidError('tooLarge', `a request of ${method} is at most ${limits.requestBytesMax} bytes`);
      const decoded = decodeRpc(request);
      checkRpcRequest(port, method, decoded);
      const result = await methods[method]!.call(implementation, decoded);
      const body = encodeRpc({ result });
      if (body.length > limits.responseBytesMax)
        throw new LucidError('tooLarge', `an answer of ${method} is at most ${limits.responseBytesMax} bytes`);
      return { status: 200, body };
    } catch (thrown) {
      if (!(thrown instanceof LucidError)) onError(method, thrown);
      return rpcFailure(thrown);
    }
  };
}
