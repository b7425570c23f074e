/** The doors of a recorder behind the API's port, by name. */
import type { Doors } from '@lucid-sessions/kit';
import type { FrontDoor } from '../front-door/front-door.ts';
import { browserDoor } from './browser-door.ts';
import { RdgDoor } from './rdg-door.ts';

export function recorderDoors(frontDoor: FrontDoor): Doors {
  return { browser: browserDoor(frontDoor), rdg: new RdgDoor(frontDoor).enter };
}
