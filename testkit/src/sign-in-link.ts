/** A way into the console for a test's browser: an account, made if it is not there, and a link that signs it in. */
import { LucidError } from '@lucid-sessions/contract';
import { restClient } from '@lucid-sessions/contract/rest-client';

export interface LinkFor {
  /** Of the Session API. */
  url: string;
  /** An administrator's. */
  token: string;
  userId?: string;
  roles?: ('admin' | 'session_manager' | 'session_operator' | 'session_viewer' | 'auditor')[];
}

/** Answers the link and what the button behind it says. */
export async function signInLink({ url, token, userId = 'console', roles = ['admin'] }: LinkFor) {
  const rest = restClient({
    async send({ method, path, body, contentType }) {
      const headers = {
        authorization: `Bearer ${token}`,
        ...(contentType === undefined ? {} : { 'content-type': contentType }),
      };
      const response = await fetch(url + path, { method, headers, ...(body === undefined ? {} : { body }) });
      if (response.ok) return response;
      throw LucidError.fromWire(((await response.json()) as { error: unknown }).error);
    },
  });
  await rest.createUser({ body: { user_id: userId, roles } }).catch((thrown: unknown) => {
    if (!(thrown instanceof LucidError && thrown.code === 'LUCID_ERR_3020')) throw thrown;
  });
  const { path } = await rest.inviteUser({ params: { user_id: userId }, body: { purpose: 'sign_in', minutes: 60 } });
  return { link: new URL(path, url).href, button: `Continue as ${userId}` };
}
