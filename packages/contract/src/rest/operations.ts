/**
 * Where each operation of the REST contract is: what a client needs at run time. It brings no schemas along, so that the CLI starts quickly
 * and the console stays small; `restRoutes` puts them beside it.
 */
export const basePath = '/api/v1';

export interface RestOperation {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below `basePath`; parameters in braces. */
  path: string;
  /** It answers no JSON, and is not read to its end before it is handed on. */
  answers?: 'file';
  /** Type of the file that is its body. */
  sends?: string;
}

const session = '/sessions/{session_id}';
const viewing = `${session}/viewings/{viewing_id}` as const;
const chunk = `${session}/chunks/{chunk_id}` as const;

export const restOperations = {
  createSession: { method: 'POST', path: '/sessions' },
  listSessions: { method: 'GET', path: '/sessions' },
  importSession: { method: 'POST', path: '/sessions/import', sends: 'application/gzip' },
  systemStatistics: { method: 'GET', path: '/sessions/statistics' },
  getSession: { method: 'GET', path: session },
  updateSession: { method: 'PUT', path: session },
  deleteSession: { method: 'DELETE', path: session },
  startSession: { method: 'POST', path: `${session}/start` },
  stopSession: { method: 'POST', path: `${session}/stop` },
  pauseSession: { method: 'POST', path: `${session}/pause` },
  resumeSession: { method: 'POST', path: `${session}/resume` },
  steerSession: { method: 'POST', path: `${session}/steer` },
  messageSession: { method: 'POST', path: `${session}/message` },
  decideApproval: { method: 'POST', path: `${session}/approval` },
  listApprovals: { method: 'GET', path: '/approvals' },
  signRedaction: { method: 'POST', path: `${session}/redactions` },
  askViewing: { method: 'POST', path: `${session}/viewings` },
  sessionViewings: { method: 'GET', path: `${session}/viewings` },
  listViewings: { method: 'GET', path: '/viewings' },
  decideViewing: { method: 'POST', path: `${viewing}/decision` },
  giveShare: { method: 'POST', path: `${viewing}/shares` },
  issueCredential: { method: 'POST', path: `${session}/credential` },
  rdpFile: { method: 'GET', path: `${session}/rdp-file`, answers: 'file' },
  browserToken: { method: 'POST', path: `${session}/browser-token` },
  listChunks: { method: 'GET', path: `${session}/chunks` },
  getChunk: { method: 'GET', path: chunk },
  downloadChunk: { method: 'GET', path: `${chunk}/download`, answers: 'file' },
  getPipeline: { method: 'GET', path: `${session}/pipeline` },
  pausePipeline: { method: 'POST', path: `${session}/pipeline/pause` },
  resumePipeline: { method: 'POST', path: `${session}/pipeline/resume` },
  sessionStatistics: { method: 'GET', path: `${session}/statistics` },
  getManifest: { method: 'GET', path: `${session}/manifest` },
  chunkProof: { method: 'GET', path: `${session}/proof/{chunk_id}` },
  exportEvidence: { method: 'GET', path: `${session}/evidence`, answers: 'file' },
  exportRecords: { method: 'GET', path: `${session}/records`, answers: 'file' },
  verifySession: { method: 'POST', path: `${session}/verify` },
  getReplay: { method: 'GET', path: `${session}/replay` },
  examineReplay: { method: 'POST', path: `${session}/replay` },
  getAnchor: { method: 'GET', path: `${session}/anchor` },
  liveSession: { method: 'GET', path: `${session}/live`, answers: 'file' },
  getKey: { method: 'GET', path: `${session}/key` },
  getIndex: { method: 'GET', path: `${session}/index` },
  listEvents: { method: 'GET', path: `${session}/events` },
  searchRecordings: { method: 'POST', path: '/search' },
  listKeyframes: { method: 'GET', path: `${session}/keyframes` },
  getKeyframe: { method: 'GET', path: `${session}/keyframes/{keyframe}`, answers: 'file' },
  getPicture: { method: 'GET', path: `${session}/picture`, answers: 'file' },
  extractContents: { method: 'GET', path: `${session}/contents`, answers: 'file' },
  listHolds: { method: 'GET', path: '/holds' },
  setHold: { method: 'POST', path: `${session}/holds` },
  clearHold: { method: 'POST', path: `${session}/holds/clear` },
  eraseSession: { method: 'POST', path: `${session}/erase` },
  getPolicy: { method: 'GET', path: '/evidence/policy' },
  signInWays: { method: 'GET', path: '/auth/ways' },
  signIn: { method: 'POST', path: '/auth/sign-in' },
  signOut: { method: 'POST', path: '/auth/sign-out' },
  whoAmI: { method: 'GET', path: '/auth/session' },
  lookAtInvite: { method: 'POST', path: '/auth/invite/look' },
  redeemInvite: { method: 'POST', path: '/auth/invite' },
  passkeyChallenge: { method: 'POST', path: '/auth/passkey/challenge' },
  passkeySignIn: { method: 'POST', path: '/auth/passkey' },
  getAccount: { method: 'GET', path: '/account' },
  changePassword: { method: 'POST', path: '/account/password' },
  startTotp: { method: 'POST', path: '/account/totp' },
  confirmTotp: { method: 'POST', path: '/account/totp/confirm' },
  removeTotp: { method: 'DELETE', path: '/account/totp' },
  renewRecoveryCodes: { method: 'POST', path: '/account/recovery-codes' },
  newPasskeyChallenge: { method: 'POST', path: '/account/passkeys/challenge' },
  addPasskey: { method: 'POST', path: '/account/passkeys' },
  removePasskey: { method: 'DELETE', path: '/account/passkeys/{passkey_id}' },
  listSignIns: { method: 'GET', path: '/account/sign-ins' },
  revokeSignIn: { method: 'DELETE', path: '/account/sign-ins/{sign_in_id}' },
  listTokens: { method: 'GET', path: '/account/tokens' },
  createToken: { method: 'POST', path: '/account/tokens' },
  revokeToken: { method: 'DELETE', path: '/account/tokens/{token_id}' },
  listUsers: { method: 'GET', path: '/users' },
  createUser: { method: 'POST', path: '/users' },
  setUp: { method: 'POST', path: '/users/setup' },
  getUser: { method: 'GET', path: '/users/{user_id}' },
  updateUser: { method: 'PUT', path: '/users/{user_id}' },
  removeUser: { method: 'DELETE', path: '/users/{user_id}' },
  inviteUser: { method: 'POST', path: '/users/{user_id}/invite' },
  listUserSignIns: { method: 'GET', path: '/users/{user_id}/sign-ins' },
  revokeUserSignIns: { method: 'DELETE', path: '/users/{user_id}/sign-ins' },
  listUserTokens: { method: 'GET', path: '/users/{user_id}/tokens' },
  revokeUserToken: { method: 'DELETE', path: '/users/{user_id}/tokens/{token_id}' },
  listAudit: { method: 'GET', path: '/audit' },
  exportAudit: { method: 'GET', path: '/audit/export', answers: 'file' },
  health: { method: 'GET', path: '/health' },
  metrics: { method: 'GET', path: '/metrics', answers: 'file' },
} as const satisfies Record<string, RestOperation>;
