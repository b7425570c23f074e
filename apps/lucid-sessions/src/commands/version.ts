import { CliError, type Output } from '../cli/output.ts';
import { checkThisBuild, thisBuild } from '../server/build.ts';

export async function showVersion(output: Output, verify: boolean): Promise<void> {
  const build = await thisBuild();
  const differences = verify ? await checkThisBuild() : [];
  if (differences === null) throw new CliError('this is a development tree: there is no list of files to compare with');
  const lines = [
    `version  ${build.version}`,
    `commit   ${build.commit ?? 'not known'}`,
    `package  ${build.package_sha256 ?? 'none: not published'}`,
    `SBOM     ${build.sbom_sha256 ?? 'none'}`,
    ...(verify && differences.length === 0 ? ['files    as they were published'] : []),
    ...differences,
  ];
  output.result(verify ? { ...build, differences } : build, lines.join('\n'));
  if (differences.length > 0) throw new CliError(`${differences.length} files are not as they were published`);
}
