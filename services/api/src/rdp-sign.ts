/**
 * Signed .rdp files, as rdpsign.exe makes them: the settings in `signscope` can't be changed without clients noticing, and who signed is
 * shown in place of "unknown publisher". The format is not published; it is known from tools that read and write it.
 */
import { type CmsSigner, cmsSignature } from './cms-signature.ts';

/** Settings a signature covers, in the order in which they are signed, by their names in `signscope`. */
const covered: readonly (readonly [string, string])[] = [
  ['full address:s:', 'Full Address'],
  ['alternate full address:s:', 'Alternate Full Address'],
  ['enablecredsspsupport:i:', 'EnableCredSspSupport'],
  ['autoreconnection enabled:i:', 'AutoReconnection Enabled'],
  ['gatewayhostname:s:', 'GatewayHostname'],
  ['gatewayusagemethod:i:', 'GatewayUsageMethod'],
  ['gatewayprofileusagemethod:i:', 'GatewayProfileUsageMethod'],
  ['gatewaycredentialssource:i:', 'GatewayCredentialsSource'],
  ['prompt for credentials:i:', 'Prompt For Credentials'],
  ['authentication level:i:', 'Authentication Level'],
  ['audiomode:i:', 'AudioMode'],
  ['redirectprinters:i:', 'RedirectPrinters'],
  ['redirectcomports:i:', 'RedirectCOMPorts'],
  ['redirectsmartcards:i:', 'RedirectSmartCards'],
  ['redirectclipboard:i:', 'RedirectClipboard'],
  ['drivestoredirect:s:', 'DrivesToRedirect'],
  ['loadbalanceinfo:s:', 'LoadBalanceInfo'],
];

const fullAddress = 'full address:s:';

/** What the signature is over: UTF-16LE, with a terminator. */
export function signedPart(lines: readonly string[]): { scope: string; message: Buffer } {
  const found = covered.flatMap(([prefix, name]) =>
    lines.filter((line) => line.startsWith(prefix)).map((line) => ({ name, line })),
  );
  const scope = `signscope:s:${found.map(({ name }) => name).join(',')}`;
  const text = `${[...found.map(({ line }) => line), scope].join('\r\n')}\r\n\0`;
  return { scope, message: Buffer.from(text, 'utf16le') };
}

/** `text`: a file with CR LF behind each line. */
export function signRdpFile(text: string, signer: CmsSigner): string {
  const lines = text.split('\r\n').filter((line) => line !== '');
  const address = lines.find((line) => line.startsWith(fullAddress))?.slice(fullAddress.length);
  // A client that is given another address beside it goes there: it must not be added to a file that was signed.
  if (address !== undefined) lines.push(`alternate full address:s:${address}`);
  const { scope, message } = signedPart(lines);
  const signature = cmsSignature(signer, message);
  const header = Buffer.alloc(12);
  header.writeUInt32LE(0x00010001, 0);
  header.writeUInt32LE(1, 4);
  header.writeUInt32LE(signature.length, 8);
  const encoded = Buffer.concat([header, signature]).toString('base64');
  return `${[...lines, scope, `signature:s:${encoded}`].join('\r\n')}\r\n`;
}
