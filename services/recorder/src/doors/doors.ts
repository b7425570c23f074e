/** The doors of a recorder for those who pass clients on, the API and other recorders, by name. */
import type { Doors } from '@lucid-sessions/kit';
import type { FrontDoor } from '../front-door/front-door.ts';
import { browserDoor } from './browser-door.ts';
import { passedDoor } from './passing-on.ts';
import { RdgDoor } from './rdg-door.ts';

export function recorderDoors(frontDoor: FrontDoor): Doors {
  return { browser: browserDoor(frontDoor), rdg: new RdgDoor(frontDoor).enter, passed: passedDoor(frontDoor) };
}
