/** The doors of a recorder behind the API's port, by name. */
import type { Doors } from '@lucid-sessions/kit';
import type { FrontDoor } from '../front-door/front-door.ts';

export function recorderDoors(_frontDoor: FrontDoor): Doors {
  return {};
}
