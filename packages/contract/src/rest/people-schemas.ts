/** Sign-in, accounts, API tokens. */
import { z } from 'zod';
import {
  displayNameMax,
  passkeysMax,
  passwordCharacters,
  recoveryCodesCount,
  savedFiltersMax,
  signInMethods,
  tokenDaysMax,
  tokensPerUserMax,
  userIdPattern,
} from '../people.ts';
import { permissions, roles } from '../roles.ts';
import { scopeSchema } from '../scope.ts';
import { count, timestamp } from './fields.ts';
import { sessionFilters } from './session-schemas.ts';

export const userIdSchema = z
  .string()
  .regex(userIdPattern, 'must be 1–100 of a–z, 0–9 and . _ @ + -, beginning with a letter or digit');
const displayName = z
  .string()
  .trim()
  .max(displayNameMax)
  .regex(/^[^\p{Cc}]*$/u, 'must be one line of text');
/** Any text: what it must be like is checked where it is chosen, not where it is tried. */
const anyPassword = z.string().min(1).max(passwordCharacters.max);
const newPassword = z.string().min(passwordCharacters.min).max(passwordCharacters.max);
const secretText = z.string().min(1).max(200);
const heldRoles = z.array(z.enum(roles)).min(1).max(roles.length);
const label = z
  .string()
  .trim()
  .min(1)
  .max(100)
  .regex(/^[^\p{Cc}]*$/u, 'must be one line of text');

/** Of WebAuthn: what a browser's `PublicKeyCredential` makes and takes as JSON. */
const webAuthnJson = z.record(z.string(), z.unknown());
export const hashId = z.string().regex(/^[0-9a-f]{64}$/);

export const signInWays = z.strictObject({
  password: z.boolean(),
  passkey: z.boolean(),
  providers: z.array(z.strictObject({ provider_id: z.string(), name: z.string() })).describe('Of OpenID Connect'),
  /** False: nobody has an account here yet, and a link for the first one is needed. */
  has_accounts: z.boolean(),
});

export const signInRequest = z.strictObject({
  user_id: z.string().trim().toLowerCase().min(1).max(100),
  password: anyPassword,
  code: z.string().trim().min(1).max(40).optional().describe('Of the authenticator app, or a recovery code'),
});

const may = z.array(z.enum(permissions));

export const signedInAnswer = z.strictObject({
  user_id: z.string(),
  display_name: z.string(),
  roles: z.array(z.string()),
  permissions: may,
  method: z.enum([...signInMethods, 'bearer']),
  csrf_token: z.string().nullable().describe('Null where no browser is signed in; else sent back in x-csrf-token'),
  expires_at: timestamp.nullable(),
});

/** `user_id` null: nobody is signed in. */
export const whoAmIAnswer = signedInAnswer.extend({
  user_id: z.string().nullable(),
  method: signedInAnswer.shape.method.nullable(),
});

/** A path of the console, so that nobody is led elsewhere. */
const returnPath = z
  .string()
  .max(500)
  .regex(/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/, 'must be a path of the console')
  .default('/');
export const startOidcRequest = z.strictObject({
  return_to: returnPath,
  fresh: z.boolean().default(false).describe('The provider asks who it is, also where it knows'),
});
export const startedOidc = z.strictObject({ url: z.string().describe('Where the browser goes from here') });
export const finishOidcRequest = z.strictObject({
  query: z.string().min(1).max(8000).describe('What the provider added to the address, as it is'),
});
export const finishedOidc = signedInAnswer.extend({ return_to: z.string() });

export const inviteRequest = z.strictObject({
  purpose: z.enum(['password', 'sign_in']).default('password'),
  minutes: z
    .int()
    .min(1)
    .max(7 * 24 * 60)
    .default(24 * 60),
});
export const invited = z.strictObject({
  token: z.string().describe('Shown here and nowhere else'),
  path: z.string().describe('Of the console, with the token behind #: it reaches no server and no log'),
  url: z.string().nullable(),
  expires_at: timestamp,
});
export const inviteToken = z.strictObject({ token: secretText });
export const inviteView = z.strictObject({
  user_id: z.string().nullable().describe('Null: whoever redeems it chooses a name'),
  purpose: z.enum(['first', 'password', 'sign_in']),
  expires_at: timestamp,
});
export const redeemRequest = z.strictObject({
  token: secretText,
  user_id: userIdSchema.optional(),
  password: newPassword.optional(),
});

export const challenge = z.strictObject({ challenge_id: z.string(), options: webAuthnJson });
export const passkeyAnswer = z.strictObject({ challenge_id: secretText, response: webAuthnJson });
export const newPasskey = passkeyAnswer.extend({ name: label });

export const passkeyView = z.strictObject({
  passkey_id: hashId,
  name: z.string(),
  created_at: timestamp,
  used_at: timestamp.nullable(),
});
export const signInView = z.strictObject({
  sign_in_id: hashId,
  method: z.enum(signInMethods),
  created_at: timestamp,
  seen_at: timestamp,
  expires_at: timestamp,
  ip_address: z.string().nullable(),
  user_agent: z.string().nullable(),
  current: z.boolean(),
});
const scope = scopeSchema
  .nullable()
  .describe('What of the sessions is seen: those that are any of these. Null: all, as far as the roles go.');

export const tokenView = z.strictObject({
  token_id: z.string(),
  name: z.string(),
  permissions: may.nullable().describe('Null: all that its owner may'),
  scope: scope.describe('Within what its owner sees. Null: all of it.'),
  created_at: timestamp,
  expires_at: timestamp,
  used_at: timestamp.nullable(),
  used_from: z.string().nullable(),
});
export const userView = z.strictObject({
  user_id: z.string(),
  display_name: z.string(),
  roles: z.array(z.enum(roles)),
  permissions: may,
  scope,
  disabled: z.boolean(),
  has_password: z.boolean(),
  has_totp: z.boolean(),
  passkeys: count,
  recovery_codes: count.max(recoveryCodesCount),
  provider: z.string().nullable().describe('Of the identity provider that knows this person; null: a local account'),
  created_at: timestamp,
  created_by: z.string(),
  signed_in_at: timestamp.nullable(),
});
export const accountAnswer = z.strictObject({
  user: userView,
  passkeys: z.array(passkeyView).max(passkeysMax),
  totp_possible: z.boolean(),
});
export const signInList = z.strictObject({ sign_ins: z.array(signInView) });
export const tokenList = z.strictObject({ tokens: z.array(tokenView).max(tokensPerUserMax) });
export const userList = z.strictObject({ users: z.array(userView), next: z.string().nullable() });
export const listUsersQuery = z.strictObject({
  after: z.string().max(100).default('').describe('`next` of the page before'),
  limit: z
    .string()
    .regex(/^\d{1,3}$/)
    .transform(Number)
    .pipe(z.int().min(1).max(500))
    .default(100),
});

export const createUserRequest = z.strictObject({
  user_id: userIdSchema,
  display_name: displayName.default(''),
  roles: heldRoles,
  scope: scope.default(null),
});
export const updateUserRequest = z.strictObject({
  display_name: displayName.optional(),
  roles: heldRoles.optional(),
  disabled: z.boolean().optional(),
  scope: scope.optional().describe('Replaced whole; null: not limited. Administrators are not.'),
  reset: z
    .enum(['second_factor', 'passkeys', 'password', 'provider'])
    .optional()
    .describe('Taken away; a link lets them in again'),
});
export const removedUser = z.strictObject({ user_id: z.string(), removed: z.literal(true) });
export const revoked = z.strictObject({ revoked: count });

export const changePasswordRequest = z.strictObject({
  password: anyPassword.optional().describe('The present one, where there is one'),
  new_password: newPassword,
});
export const totpStarted = z.strictObject({ secret: z.string(), uri: z.string() });
export const totpCode = z.strictObject({ code: z.string().trim().min(6).max(10) });
export const recoveryCodes = z.strictObject({ recovery_codes: z.array(z.string()).length(recoveryCodesCount) });
export const signedOut = z.strictObject({
  redirect: z.string().nullable().describe('Where the identity provider ends its own session; null: nowhere'),
});
export const done = z.strictObject({ done: z.literal(true) });
export const createTokenRequest = z.strictObject({
  name: label,
  permissions: z.array(z.enum(permissions)).min(1).max(permissions.length).optional(),
  scope: scope.default(null),
  days: z.int().min(1).max(tokenDaysMax),
});
export const createdToken = tokenView.extend({ token: z.string().describe('Shown here and nowhere else') });

const filterName = z
  .string()
  .trim()
  .min(1)
  .max(60)
  .regex(/^[^\p{Cc}]*$/u, 'must be one line of text');
const filterQuery = z.strictObject(sessionFilters);

export const savedFilter = z.strictObject({
  name: filterName,
  query: z
    .string()
    .max(1000)
    .refine((text) => filterQuery.safeParse(Object.fromEntries(new URLSearchParams(text))).success, {
      message: 'must be filters and order as `GET /sessions` takes them',
    })
    .describe('Filters and order as they stand behind `GET /sessions?`.'),
});
export const savedFilterList = z.strictObject({ filters: z.array(savedFilter).max(savedFiltersMax) });
export const removeFilterQuery = z.strictObject({ name: filterName });
