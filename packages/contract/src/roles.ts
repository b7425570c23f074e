/** Roles of the contract and what each may do. A user holds the union of the rights of the roles in the token. */
export const permissions = [
  'sessions:create',
  'sessions:read',
  'sessions:update',
  'sessions:delete',
  'sessions:start',
  'sessions:stop',
  'sessions:pause',
  /** To let a client in, or not, that waits for a second person. */
  'sessions:approve',
  /** To make sessions with the targets that name one, or one's role. */
  'targets:connect',
  /** To make, change and remove targets, and to ask a host for its certificate. */
  'targets:manage',
  /** To put words on the desktop of who works in a session. */
  'sessions:message',
  /** To work in a running session in its user's place, with that user's consent. */
  'sessions:steer',
  'chunks:read',
  'chunks:download',
  'pipeline:read',
  'pipeline:control',
  'statistics:read',
  'audit:read',
  /** Which rules found something, in which session and when: not what they found. */
  'alerts:read',
  /** A rule asks everything that is typed, and can end sessions: of nobody but administrators. */
  'alerts:manage',
  'evidence:read',
  'evidence:verify',
  /** What people typed and copied: it can hold their passwords. Every look is audited. */
  'recordings:inputs',
  /** To let a person see one recording that is outside of their scope. */
  'recordings:grant',
  /** To agree, as a second person, that somebody sees a recording. */
  'recordings:approve',
  /** Of nobody but administrators, as the next one. */
  'keys:erase',
  /** To have evidence records renewed now: it asks the timestamp authority. Of nobody but administrators. */
  'evidence:renew',
  /** To set and clear legal holds, which nothing that deletes gets past. Not of those who may delete: one person alone should not do both. */
  'sessions:hold',
  /** To let a recording end sooner than it was to. */
  'sessions:shorten_retention',
  /** To make recordings of captures: they prove nothing, and look like sessions. */
  'sessions:import',
  /** Accounts, what they may, their sign-ins and links: of nobody but administrators. */
  'users:manage',
] as const;
export type Permission = (typeof permissions)[number];

export const roles = ['admin', 'session_manager', 'session_operator', 'session_viewer', 'auditor'] as const;
export type Role = (typeof roles)[number];

export const rolePermissions: Record<Role, readonly Permission[]> = {
  admin: permissions,
  session_manager: [
    'sessions:create',
    'targets:connect',
    'targets:manage',
    'sessions:import',
    'sessions:read',
    'sessions:update',
    'sessions:delete',
    'sessions:start',
    'sessions:stop',
    'sessions:pause',
    'sessions:message',
    'sessions:steer',
    'sessions:approve',
    'recordings:grant',
    'recordings:approve',
    'chunks:read',
    'chunks:download',
    'pipeline:read',
    'pipeline:control',
    'statistics:read',
    'alerts:read',
  ],
  session_operator: [
    'sessions:read',
    'targets:connect',
    'sessions:start',
    'sessions:stop',
    'sessions:pause',
    'sessions:message',
    'chunks:read',
    'pipeline:read',
    'pipeline:control',
    'statistics:read',
    'alerts:read',
  ],
  session_viewer: ['sessions:read', 'chunks:read', 'pipeline:read', 'statistics:read'],
  auditor: [
    'sessions:read',
    'chunks:read',
    'statistics:read',
    'audit:read',
    'alerts:read',
    'evidence:read',
    'evidence:verify',
    'recordings:inputs',
    'recordings:approve',
    'sessions:hold',
  ],
};

/** Role names a token holds that this project does not know grant nothing. */
export function isPermitted(held: readonly string[], permission: Permission): boolean {
  return held.some(
    (role) => Object.hasOwn(rolePermissions, role) && rolePermissions[role as Role].includes(permission),
  );
}
