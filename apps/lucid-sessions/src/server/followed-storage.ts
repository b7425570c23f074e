/** Storage as the processor sees it: whoever makes session indexes hears of every chunk that was stored. */
import type { StoragePort } from '@lucid-sessions/contract';

export function followedStorage(storage: StoragePort, stored: (sessionId: string) => void): StoragePort {
  const putChunk: StoragePort['putChunk'] = async (request) => {
    const answer = await storage.putChunk(request);
    if (answer.appended) stored(request.metadata.sessionId);
    return answer;
  };
  return new Proxy(storage, {
    get(target, name) {
      if (name === 'putChunk') return putChunk;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
