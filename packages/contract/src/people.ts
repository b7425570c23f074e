/** Bounds of accounts, sign-ins and tokens, for whoever checks them and whoever asks for them. */

/** What an account is called in lists, logs and signed records. Lower case, so that no two look alike by case. */
export const userIdPattern = /^[a-z0-9][a-z0-9._@+-]{0,99}$/;
export const passwordCharacters = { min: 12, max: 256 } as const;
export const displayNameMax = 200;
export const passkeysMax = 20;
export const recoveryCodesCount = 10;
export const tokensPerUserMax = 100;
/** Filters of the list of sessions that one account keeps. */
export const savedFiltersMax = 20;
export const tokenDaysMax = 365;
/** In front of every API token, so that scanners find one that leaked. */
export const apiTokenPrefix = 'lst_';

/** What a provider of OpenID Connect is called in paths. */
export const providerIdPattern = /^[a-z0-9][a-z0-9-]{0,30}$/;

/** How somebody proved who they are. */
export const signInMethods = ['password', 'password_and_code', 'recovery_code', 'passkey', 'link', 'oidc'] as const;
export type SignInMethod = (typeof signInMethods)[number];

/** The header in which a browser that is signed in sends back what `GET /auth/session` told it. */
export const csrfHeader = 'x-csrf-token';
