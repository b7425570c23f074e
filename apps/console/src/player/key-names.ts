export { type KeyName, keyName, modifierNames } from '@lucid-sessions/recording/session-index';
