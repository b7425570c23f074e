/** The recorder as a process of its own: the service behind its HTTP door. */
import { hostname } from 'node:os';
import { createServiceHttp } from '@lucid-sessions/kit';
import type { RecorderConfig } from './config.ts';
import { Presence } from './presence.ts';
import { createRecorder, type Recorder, type RecorderDeps } from './recorder.ts';

export interface RecorderServer {
  recorder: Recorder;
  address: string;
  dispose(): Promise<void>;
}

export async function startRecorderServer(
  config: RecorderConfig,
  deps: RecorderDeps & { onError?: (where: string, thrown: unknown) => void },
): Promise<RecorderServer> {
  const recorder = await createRecorder(config, deps);
  const app = createServiceHttp({
    name: 'recorder',
    port: recorder.port,
    serviceSecret: config.serviceSecret,
    ...(config.proof === undefined ? {} : { proof: config.proof }),
    doors: recorder.doors,
    metrics: () => recorder.metrics(),
    ...(deps.onError === undefined ? {} : { onError: deps.onError }),
  });
  let presence: Presence | null = null;
  const dispose = async (drainMs?: number): Promise<void> => {
    await presence?.dispose();
    app.server.closeIdleConnections();
    await app.close();
    await recorder.dispose(drainMs);
  };
  try {
    const address = await app.listen({ host: config.host, port: config.port });
    presence = new Presence({
      pipeline: deps.pipeline,
      recorder: recorder.port,
      recorderId: config.recorderId,
      url: config.ownUrl ?? ownUrl(config.host, address),
      onProblem: deps.onProblem ?? (() => {}),
    });
    return { recorder, address, dispose: () => dispose() };
  } catch (error) {
    await dispose(0);
    throw error;
  }
}

/** On every address it is found under the machine's name. */
function ownUrl(host: string, address: string): string {
  if (!/^(?:0\.0\.0\.0|\[?::\]?)$/.test(host)) return address;
  const url = new URL(address);
  url.hostname = hostname();
  return url.origin;
}
