/** The recorder as a process of its own: the service behind its HTTP door. */
import { createServiceHttp } from '@lucid-sessions/kit';
import type { RecorderConfig } from './config.ts';
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
    ...(deps.onError === undefined ? {} : { onError: deps.onError }),
  });
  const dispose = async (drainMs?: number): Promise<void> => {
    app.server.closeIdleConnections();
    await app.close();
    await recorder.dispose(drainMs);
  };
  try {
    const address = await app.listen({ host: config.host, port: config.port });
    return { recorder, address, dispose: () => dispose() };
  } catch (error) {
    await dispose(0);
    throw error;
  }
}
