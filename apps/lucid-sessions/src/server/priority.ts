import { setPriority } from 'node:os';

const niceness = -5;

/**
 * Where cores are short a frame must not wait for its turn to become durable: the process that holds the connections goes before
 * others, where the system lets it (root, or CAP_SYS_NICE). Threads that can wait set their own, lower, priority.
 */
export function goFirst(): void {
  try {
    setPriority(niceness);
  } catch {
    // Not permitted: everything works, and a crash on a machine without a free core may cost more than it should.
  }
}
