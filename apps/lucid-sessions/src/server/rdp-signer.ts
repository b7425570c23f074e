/** What .rdp files are signed with: a certificate for it, else the one RDP clients see. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CmsSigner, readCmsSigner, signRdpFile } from '@lucid-sessions/api';
import { type Environment, EnvironmentError, readRdpCertificate, readText } from '@lucid-sessions/kit';

/** RDP_SIGN_CERT and RDP_SIGN_KEY; null: not set. */
function signPaths(environment: Environment): { certificatePath: string; keyPath: string } | null {
  const certificatePath = readText(environment, 'RDP_SIGN_CERT', '');
  const keyPath = readText(environment, 'RDP_SIGN_KEY', '');
  if ((certificatePath === '') !== (keyPath === ''))
    throw new EnvironmentError('RDP_SIGN_KEY', 'and RDP_SIGN_CERT must be given together');
  return certificatePath === '' ? null : { certificatePath, keyPath };
}

const load = ({ certificatePath, keyPath }: { certificatePath: string; keyPath: string }): CmsSigner =>
  readCmsSigner(readFileSync(certificatePath, 'utf8'), readFileSync(keyPath, 'utf8'));

/** `keys`: where the recorder's own certificate lies. Throws EnvironmentError for files that can't sign. */
export function rdpSigner(environment: Environment, keys: string): (text: string) => string {
  const given = signPaths(environment);
  const paths = given ??
    readRdpCertificate(environment) ?? { certificatePath: join(keys, 'rdp.crt'), keyPath: join(keys, 'rdp.key') };
  let signer: CmsSigner | null = null;
  const ready = (): CmsSigner => {
    signer ??= load(paths);
    return signer;
  };
  if (given !== null)
    try {
      ready();
    } catch (cause) {
      throw new EnvironmentError('RDP_SIGN_CERT', `and RDP_SIGN_KEY sign nothing: ${(cause as Error).message}`, {
        cause,
      });
    }
  return (text) => {
    try {
      return signRdpFile(text, ready());
    } catch (error) {
      // Where the recorder is another machine's its certificate is not here.
      if (given !== null) throw error;
      return text;
    }
  };
}
