/** Whether every port can be had, before anything else is begun. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { EnvironmentError } from '@lucid-sessions/kit';

/** Where something will listen, and which variables say so. */
export interface Door {
  portVariable: string;
  hostVariable: string;
  host: string;
  /** 0: the system chooses one. */
  port: number;
}

/** Opens all of them together, so that two of our own with one number are found too, and closes them again. */
export async function checkPorts(doors: readonly Door[]): Promise<void> {
  const open: { door: Door; server: Server }[] = [];
  try {
    for (const door of doors) {
      if (door.port === 0) continue;
      const server = createServer();
      try {
        server.listen({ host: door.host, port: door.port });
        await once(server, 'listening');
      } catch (error) {
        const twin = open.find((other) => other.door.port === door.port);
        throw listenError(door, error, twin?.door.portVariable ?? null);
      }
      open.push({ door, server });
    }
  } finally {
    await Promise.all(open.map(({ server }) => new Promise((resolve) => server.close(resolve))));
  }
}

/** What a person can do about a port that can't be had; other failures as they are. */
export function listenError(door: Door, error: unknown, twin: string | null): unknown {
  const { portVariable, hostVariable, host, port } = door;
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return new EnvironmentError(
        portVariable,
        twin === null
          ? `names port ${port} of ${host}, which another program uses: end that one or choose another port`
          : `names port ${port} of ${host}, as ${twin === portVariable ? 'it does twice' : `${twin} does`}: choose another port for one of them`,
      );
    case 'EACCES':
    case 'EPERM':
      return new EnvironmentError(
        portVariable,
        `names port ${port}, which this user may not open: choose one from 1024 on, or grant CAP_NET_BIND_SERVICE`,
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EINVAL':
    case 'EAFNOSUPPORT':
      return new EnvironmentError(hostVariable, `names ${host}, which is no address of this machine`);
    default:
      return error;
  }
}
