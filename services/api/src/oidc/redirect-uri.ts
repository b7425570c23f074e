/** Where a provider sends browsers back to: what it has to know of this installation. */
export const redirectUriOf = (publicUrl: string, providerId: string): string =>
  new URL(`/sign-in/${providerId}`, publicUrl).href;
