/** What a person reads whose browser can't show H.264: why, and what shows it. */
export function noH264Text(isSecure: boolean, hasWebCodecs: boolean): string {
  const why = !isSecure
    ? 'browsers decode it on pages that come over https (or from this very machine) only: open this one over https'
    : hasWebCodecs
      ? 'it was built without an H.264 decoder: use Chrome, Edge, Safari or Firefox as their makers ship them'
      : 'it has no WebCodecs: use a current Chrome, Edge, Safari or Firefox';
  return `This session’s pictures are H.264, and this browser can’t show them; what is black here is in the recording. ${why[0]?.toUpperCase()}${why.slice(1)}. Where an H.264 decoder is installed, “lucid-sessions picture” and “lucid-sessions video” draw them as PNG and MP4.`;
}
