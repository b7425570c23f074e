/** Who came to a session, as far as that is known, and what their client said: never one for the other. */
import type { Session } from '../api/types.ts';

type Coming = NonNullable<Session['came_by']>;

const issued = (what: string, user: string | null): string => `whoever had the ${what} issued to ${user ?? 'somebody'}`;

function known({ way, user }: Coming): string {
  switch (way) {
    case 'browser':
      return `${user ?? 'somebody'}, signed in here`;
    case 'credential':
      return issued('credential', user);
    case 'token':
      return issued('.rdp file', user);
    case 'name':
    case 'listener':
      return 'anonymous: anybody who reaches the gateway';
  }
}

export const isAnonymous = ({ came_by: by }: Session): boolean => by?.way === 'name' || by?.way === 'listener';

/** Null: nobody came, or it was not kept. */
export const whoCame = ({ came_by: by }: Session): string | null => (by ? known(by) : null);

/** Null: it said nothing. */
export function clientSays({ client_user: user, client_name: name }: Session): string | null {
  const said = [user, name].filter(Boolean).join(' on ');
  return said === '' ? null : `${said} (its word, nothing proves it)`;
}
