/** A kind of what was not drawn: pictures for which there was no decoder. */
export const isH264Missing = (kind: string): boolean => kind.endsWith('.noDecoder');

/** What a person reads whose browser can't show H.264: why, and what is shown instead. `problem`: why the server shows none either. */
export function noH264Text({
  isSecure,
  hasWebCodecs,
  isLive,
  problem,
}: {
  isSecure: boolean;
  hasWebCodecs: boolean;
  isLive: boolean;
  problem: string | null;
}): string {
  const why = !isSecure
    ? 'browsers decode it on pages that come over https (or from this very machine) only. Open this one over https to see all of them'
    : hasWebCodecs
      ? 'it has no decoder for this kind of H.264. Chrome, Edge, Safari and Firefox as their makers ship them have one'
      : 'it has no WebCodecs. A current Chrome, Edge, Safari or Firefox has it';
  const live = isLive ? ', up to half a minute behind: what is stored of a running session' : '';
  const instead = `The server draws them instead: the right one after a seek, a step or a pause, and about one a second while playing${live}.`;
  const failed = problem === null ? '' : ` It could not draw this moment: ${problem.replace(/\.$/, '')}.`;
  return `This session’s pictures are H.264, and this browser can’t show them: ${why}. ${instead}${failed}`;
}

export const noVideoText =
  'this browser can’t decode the session’s H.264, so it can’t write a video of it: “lucid-sessions video” does, where an H.264 decoder is installed';
