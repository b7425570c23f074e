/** Compression flags of every header that carries them: [MS-RDPBCGR] 3.1.8.2.1, 2.2.8.1.1.1.2. */
export const packetCompressed = 0x20;
/** RDP 4.0/5.0: decompress to the history's start. RDP 6.0: slide the history back by half. */
export const packetAtFront = 0x40;
/** The history starts again, filled with zeros. */
export const packetFlushed = 0x80;
export const compressionTypeMask = 0x0f;

export const compressionType8K = 0;
export const compressionType64K = 1;
export const compressionTypeRdp6 = 2;
export const compressionTypeRdp61 = 3;
export const compressionTypeRdp8 = 4;
/** RDP 8.0 with a history of 8 KiB, for dynamic channels: [MS-RDPEDYC] 2.2.3.3. */
export const compressionTypeRdp8Lite = 6;
