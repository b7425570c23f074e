/** The targets of the connect bench, a process of its own: two desktops, with TLS alone and with network level authentication. */
import { startDesktop } from '@lucid-sessions/desktop';

const [username = '', password = ''] = process.argv.slice(2);
const [tls, nla] = await Promise.all([startDesktop(), startDesktop({ account: { username, password } })]);
process.send?.({ tls: tls.port, nla: nla.port });
process.on('disconnect', () => process.exit());
