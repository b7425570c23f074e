/** What the two ends of the relay bench say to each other: fast-path PDUs of 64 bytes, and large ones for bulk. */

export const smallBytes = 64;
/** As large as servers make them. */
export const bulkPduBytes = 16_000;

/** Byte 3 of a client's small PDU. */
export const order = { ping: 1, startBulk: 2, stopBulk: 3 } as const;

export function smallPdu(what: number): Buffer {
  const pdu = Buffer.alloc(smallBytes);
  pdu[1] = smallBytes;
  pdu[3] = what;
  return pdu;
}

/** Several large fast-path updates back to back; incompressible, as coded graphics are. */
export function bulkPdus(count: number): Buffer {
  const pdus = Buffer.alloc(count * bulkPduBytes);
  for (let i = 0; i < count; i += 1) {
    const at = i * bulkPduBytes;
    pdus[at + 1] = 0x80 | (bulkPduBytes >> 8);
    pdus[at + 2] = bulkPduBytes & 0xff;
    // Update header: surface commands, single.
    pdus[at + 3] = 4;
    for (let j = at + 4; j < at + bulkPduBytes; j += 1) pdus[j] = (j * 2654435761) >>> 13;
  }
  return pdus;
}
