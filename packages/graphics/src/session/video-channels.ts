/** Videos beside the desktop: [MS-RDPEVOR] and [MS-RDPEV]. Nothing here plays them; what would have been seen is counted. */

/** TSMM_VIDEO_DATA, [MS-RDPEVOR] 2.2.1.6, in any version of the channel. */
const VIDEO_DATA = 'microsoft::windows::rds::video::data';
const MULTIMEDIA = 'tsmf';
/** ON_SAMPLE in SHARED_MSG_HEADER, [MS-RDPEV] 2.2.1: behind interface and message id. */
const ON_SAMPLE = 0x103;
const FUNCTION_AT = 8;

/** What a message of the server's is counted as; null where nothing of a picture is in it. `message` is null where it can't be read. */
export function videoKind(channelName: string, message: Uint8Array | null): string | null {
  const name = channelName.toLowerCase();
  if (name.startsWith(VIDEO_DATA)) return 'video.data';
  if (name !== MULTIMEDIA) return null;
  if (message === null) return 'video.tsmf';
  const isSample =
    message.length >= FUNCTION_AT + 4 &&
    new DataView(message.buffer, message.byteOffset).getUint32(FUNCTION_AT, true) === ON_SAMPLE;
  return isSample ? 'video.tsmf' : null;
}
