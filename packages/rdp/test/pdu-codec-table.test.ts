import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Codec, DecodeError, decode, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import * as auth from '../src/auth/index.ts';
import * as rdp from '../src/index.ts';
import { captureNames, hex, samplePdus } from './pdu-samples.ts';

/** Most samples of one codec and most bytes of one sample the slow properties look at. */
const SAMPLES_MAX = 3;
const SAMPLE_BYTES_MAX = 700;

/** Vectors for codecs the captures don't exercise, written after the specifications' layouts. */
const vectors: [Codec<unknown>, string][] = [
  // Cookie: msts=1.2.3 with correlation info
  [
    rdp.x224ConnectionRequest,
    `46 e0 0000 0000 00 ${Buffer.from('Cookie: msts=1.2.3\r\n').toString('hex')} 01 08 0800 03000000 06 00 2400 ${'0123456789abcdef'.repeat(2)} ${'00'.repeat(16)}`,
  ],
  [rdp.x224ConnectionRequest, `16 e0 0000 0000 00 ${Buffer.from('tsv://whatever').toString('hex')} 0d0a`],
  [rdp.x224ConnectionRequest, '06 e0 0000 0000 00'],
  [rdp.x224ConnectionConfirm, '0e d0 0000 1234 00 02 01 0800 01000000'],
  [rdp.x224ConnectionConfirm, '0e d0 0000 1234 00 03 00 0800 05000000'],
  [rdp.x224ConnectionConfirm, '06 d0 0000 1234 00'],
  // RDCleanPath: a request (destination, token, X.224), an answer (two certificates), an error with all its parts, a long length form
  [rdp.rdCleanPath, '30 1d a0 04 02 02 0d3e a2 05 0c 03 613a31 a3 05 0c 03 746f6b a6 07 04 05 0300000500'],
  [rdp.rdCleanPath, '30 20 a0 04 02 02 0d3e a6 04 04 02 0300 a7 0a 30 08 04 02 3000 04 02 3000 a9 06 0c 04 613a3338'],
  [
    rdp.rdCleanPath,
    '30 20 a0 04 02 02 0d3e a1 18 30 16 a0 03 02 01 01 a1 04 02 02 0193 a2 04 02 02 2744 a3 03 02 01 28',
  ],
  [rdp.rdCleanPath, '30 81 06 a0 04 02 02 0d3e'],
  [rdp.x224DisconnectRequest, '06 80 0000 0000 00'],
  [rdp.x224DisconnectRequest, '08 80 0000 0000 80 0102'],
  [rdp.mcsPdu, '04 0100 0100'],
  [rdp.mcsPdu, '28'],
  [rdp.mcsPdu, '2e 00 0006'],
  [rdp.mcsPdu, '2c 01'],
  [rdp.mcsPdu, '38 0006 03ef'],
  [rdp.mcsPdu, '3e 00 0006 03ef 03ef'],
  [rdp.mcsPdu, '3c 01 0006 03ef'],
  [rdp.mcsPdu, '21 80'],
  [rdp.mcsPdu, '64 0006 03eb 70 03 010203'],
  [rdp.mcsPdu, '68 0001 03eb 70 8003 010203'],
  [rdp.clientDataBlock, '05c0 2000 00000000 01000000 00000000 00000000 ff030000 ff020000 01000000'],
  [rdp.clientDataBlock, '08c0 2400 00000000 14000000 01000000 00010000 00010000 00000000 64000000 64000000'],
  [rdp.clientDataBlock, '06c0 0800 00000000'],
  [rdp.clientDataBlock, '0ac0 0800 01000000'],
  [rdp.clientDataBlock, '04c0 0c00 0d000000 00000000'],
  [rdp.clientDataBlock, '99c0 0700 010203'],
  [rdp.clientDataBlock, '03c0 0800 ff000000'],
  [rdp.serverDataBlock, '020c 2000 02000000 02000000 08000000 04000000 0102030405060708 aabbccdd'],
  [rdp.serverDataBlock, '020c 0c00 00000000 00000000'],
  [rdp.serverDataBlock, '040c 0600 f003'],
  [rdp.serverDataBlock, '080c 0800 01000000'],
  [rdp.licensePdu, 'ff 03 1000 07000000 02000000 04000000'],
  [rdp.licensePdu, '01 02 0800 aabbccdd'],
  [rdp.autoDetect, '06 00 0100 0110'],
  [rdp.autoDetect, '0e 01 0100 0b00 11000000 22000000'],
  [rdp.autoDetect, '08 00 0200 0200 0400 01020304'],
  [rdp.bandwidthResults, '11000000 22000000'],
  [rdp.initiateMultitransportRequest, `01000000 0100 0000 ${'ab'.repeat(16)}`],
  [rdp.initiateMultitransportResponse, '01000000 05400080'],
  [rdp.heartbeat, '00 05 03 05'],
  [rdp.deactivateAll, ''],
  [rdp.deactivateAll, 'ea030100 0100 00'],
  [rdp.shareControlPdu, '0400 1600'],
  [rdp.persistentKeyList, `${'0100'.repeat(10)} 03 00 0000 ${'11'.repeat(40)}`],
  [rdp.setErrorInfo, '0c000000'],
  [rdp.saveSessionInfo, '02000000'],
  [rdp.statusInfo, '01040000'],
  [rdp.suppressOutput, '00 000000'],
  [rdp.suppressOutput, '01 000000 0000 0000 ff03 ff02'],
  [rdp.refreshRect, '02 000000 0000000010001000 1000100020002000'],
  [rdp.emptyBody, ''],
  [rdp.setKeyboardIndicators, '0000 0200'],
  [rdp.setKeyboardImeStatus, '0000 01000000 02000000'],
  [rdp.playSound, '64000000 b8010000'],
  [rdp.frameAcknowledge, '07000000'],
  [rdp.monitorLayout, '01000000 00000000 00000000 ff030000 ff020000 01000000'],
  [rdp.serverRedirection, '0004 1800 01000000 02000000 06000000 746f6b656e31 0000'],
  [rdp.enhancedServerRedirection, '0000 0004 1a00 01000000 14000000 02000000 4100 04000000 01020304'],
  // By RDSTLS: password with PK encryption, a GUID, a certificate's container.
  [rdp.serverRedirection, '0004 2200 01000000 10c00100 02000000 aabb 04000000 41004200 04000000 51004100'],
  [rdp.targetCertificateContainer, '20000000 01000000 03000000 300100 07000000 00000000 00000000'],
  [rdp.rdstlsPdu, '0100 0100 0100 0100'],
  [rdp.rdstlsPdu, '0100 0200 0100 0400 41004200 0400 75000000 0200 0000 0300 aabbcc'],
  [rdp.rdstlsPdu, `0100 0200 0200 07000000 1c00 1c000000 01000000 07000000 ${'5a'.repeat(16)}`],
  [rdp.rdstlsPdu, '0100 0400 0100 2e050000'],
  [
    rdp.slowPathInput,
    `0700 0000 ${['00000000 0000 0000 02000000', '01000000 0200 000000000000', '02000000 0400 0000 1e00 0000', '03000000 0500 0080 4100 0000', '04000000 0180 0008 1000 2000', '05000000 0480 0008 ffff 0100', '06000000 7777 010203040506'].join('')}`,
  ],
  [rdp.bitmapUpdate, '0100 0000 0000 0100 0000 0200 0100 1000 0000 0400 11223344'],
  [rdp.fastPathInput, '10 0f 00 1e 20 0008 1000 2000 80 4100 61'],
  [rdp.fastPathInput, '00 03 00'],
  [rdp.fastPathInput, '00 05 01 01 1e'],
  [rdp.fastPathInput, '08 8005 60 61'],
  [rdp.fastPathInput, '0c 15 40 0080 0100 0200 a0 0000 ffff 0100 c0 01020304'],
  [rdp.fastPathOutput, '00 0b 03 0000 06 0000 05 0000'],
  [rdp.fastPathOutput, '00 09 81 21 0300 aabbcc'],
  [rdp.tsRequest, '30 0d a003020106 a4060204c000006d'],
  [rdp.tsRequest, '30 25 a003020105 a10d300b3009a00704054e544c4d53 a2030401aa a3030401bb a5050403ccddee'],
  [rdp.slowPathPointer, '0300 0000 10002000'],
  [rdp.slowPathUpdate, '0300 0000'],
  [rdp.channelChunk, '03000000 03000000 010203'],
  [rdp.dynamicChannelServerPdu, '50 00 0100'],
  [rdp.dynamicChannelServerPdu, '50 00 0300 3333 1111 3d0a a704'],
  [rdp.dynamicChannelClientPdu, '50 00 0300'],
  [rdp.dynamicChannelServerPdu, `10 07 ${Buffer.from('ECHO\0').toString('hex')}`],
  [rdp.dynamicChannelClientPdu, '10 07 00000000'],
  [rdp.dynamicChannelServerPdu, '24 07 0001 aabb'],
  [rdp.dynamicChannelServerPdu, '29 0700 03000000 aabb'],
  [rdp.dynamicChannelServerPdu, '32 07000000 aabb'],
  [rdp.dynamicChannelClientPdu, '40 07'],
  [rdp.dynamicChannelServerPdu, '60 07 10 e0 24 01'],
  [rdp.dynamicChannelServerPdu, '70 07 e0 24 01'],
  [rdp.dynamicChannelServerPdu, '80 00 12000000 0300 0100 01000000 0100 07000000'],
  [rdp.dynamicChannelClientPdu, '90 00 01000000 01000000'],
  [rdp.clipboardMessage, '0200 0000 04000000 0d000000'],
  [rdp.fileContentsRequest, '01000000 00000000 02000000 00000000 00000000 00100000'],
  [rdp.fileContentsRequest, '01000000 00000000 02000000 00000000 00000000 00100000 05000000'],
  [rdp.deviceMessage, '7244 4952 0100'],
  [rdp.deviceIoRequest, '01000000 02000000 03000000 04000000 00000000 aabb'],
  [rdp.deviceIoCompletion, '01000000 03000000 00000000 aabb'],
  [rdp.longFormatNames, '0d000000 0000 0ec00000 4100 4200 0000'],
  [rdp.shortFormatNames, `0d000000 ${'00'.repeat(32)} 0ec00000 ${'4100'.repeat(16)}`],
  [rdp.formatDataRequest, '0d000000'],
  [rdp.fileContentsResponse, '01000000 aabbcc'],
  [
    rdp.fileList,
    `01000000 44000000 ${'00'.repeat(32)} 20000000 ${'00'.repeat(16)} 0011223344556677 00000000 10000000 61002e007400 ${'00'.repeat(514)}`,
  ],
  [rdp.deviceCreateRequest, '89001200 0000000000000000 00000000 07000000 01000000 21000000 06000000 5c0061000000'],
  [rdp.deviceCreateResponse, '05000000'],
  [rdp.deviceCreateResponse, '05000000 01'],
  [rdp.deviceReadRequest, `00100000 0000000000000000 ${'00'.repeat(20)}`],
  [rdp.deviceReadResponse, '03000000 aabbcc'],
  [rdp.deviceWriteRequest, `03000000 0000000000000000 ${'00'.repeat(20)} aabbcc`],
  [rdp.deviceWriteResponse, '03000000 00'],
  [rdp.deviceListAnnounce, '01000000 08000000 01000000 7368617265000000 06000000 736861726500'],
  [rdp.clipboardCapabilities, '0100 0000 0100 0c00 02000000 1e000000'],
  [rdp.clipboardLock, '08000000'],
  [rdp.fileDescriptor, `${'00'.repeat(72)}6100${'00'.repeat(518)}`],
  [rdp.deviceSetInformationRequest, `0d000000 01000000 ${'00'.repeat(24)} 01`],
  [rdp.deviceQueryInformationRequest, `05000000 ${'00'.repeat(28)}`],
  [rdp.deviceQueryInformationResponse, '03000000 aabbcc'],
  [rdp.fileStandardInformation, '0010000000000000 0500000000000000 01000000 00 00 0000'],
  [rdp.fileRenameInformation, '01 00 06000000 5c0061000000'],
  [rdp.deviceListRemove, '02000000 01000000 02000000'],
  [rdp.printerDeviceData, '00000000 00000000 00000000 04000000 04000000 00000000 41000000 42000000'],
  // [MS-RDPECI] 4.1 and 4.2, [MS-RDPEMSC] 4.1 and 4.2.
  [rdp.coreInputPdu, '03010000 0001 0001 0000000000000000'],
  [rdp.coreInputPdu, '03020000 0001 0001 0000000000000000 0000'],
  [rdp.coreInputPdu, '03030200 c0c0578604 20000400000000'],
  [rdp.coreInputPdu, '03030600 001e 011e 80e900 62 a000080100ffff 40008001002000'],
  [rdp.fastPathInputEvent, '20000400000000'],
  [rdp.mouseCursorPdu, '01000000 43415053 01000000 0c000000'],
  [rdp.mouseCursorPdu, '03080000 7800 6400'],
  [rdp.mouseCursorCapset, '43415053 01000000 0c000000'],
  // [MS-RDPEI] has no examples of messages; of integers it has those of 2.2.2.
  // [MS-RDPEDISP] 2.2.2.1 and 2.2.2.2.
  [rdp.displayControlPdu, '05000000 14000000 10000000 00200000 00200000'],
  [rdp.displayControlPdu, '02000000 10000000 28000000 00000000'],
  [
    rdp.displayControlLayout,
    `28000000 02000000 01000000 00000000 00000000 00050000 20030000 00000000 00000000 00000000 64000000 64000000 ${'00'.repeat(4)} 00fcffff 00000000 00040000 20030000 ${'00'.repeat(20)}`,
  ],
  [rdp.touchInputPdu, '0100 0a000000 00000200'],
  [rdp.touchInputPdu, '0100 0e000000 00000300 01000000'],
  [rdp.touchInputPdu, '0200 10000000 01000000 00000200 0a00'],
  [rdp.touchInputPdu, '0400 06000000'],
  [rdp.touchInputPdu, '0500 06000000'],
  [rdp.touchInputPdu, '0600 07000000 05'],
  [rdp.touchInputPdu, '0300 13000000 05 01 01 00 00 00 4064 9a1b1c 18 00'],
  [rdp.touchInputPdu, '0300 20000000 05 01 01 da1b1c1d1e1f2a 00 07 22 ba1b1c 19 42 01 da1b 02 8132 8400'],
  [rdp.touchInputPdu, '0800 18000000 05 01 01 00 00 1f 4064 4064 19 01 8400 805a 42 05'],
  [rdp.soundMessage, '07 00 0400 01020304'],
  [rdp.audioFormat, '0100 0200 44ac0000 10b10200 0400 1000 0000'],
  [rdp.audioFormat, '1100 0200 44ac0000 dbac0000 0008 0400 0200 f907'],
  [
    rdp.soundFormats,
    '03000000 ffffffff 00000000 0000 0200 ff 0800 00 0100020044ac000010b10200040010000000 06a1020044ac0000c05d0000040010000000',
  ],
  [rdp.soundWaveInfo, '16a1 0300 02 000000 270c4583'],
  // The beginning of [MS-RDPEA] 4.2.4.
  [rdp.soundWave2, '16a1 0300 02 000000 c2b8ac0d 270c4583048482'],
  [rdp.soundVolume, 'ffff 0080'],
  [rdp.capabilitySet, `0400 2800 ${'00'.repeat(24)} 7800 0001 7800 0004 5101 0010`],
  [rdp.capabilitySet, '1200 0800 01 00 0000'],
  [rdp.capabilitySet, '1500 0c00 02000000 0040 0001'],
  [rdp.capabilitySet, `1600 2800 01000000 00000000 01000000 ${'01'.repeat(24)}`],
  [rdp.capabilitySet, '1700 0800 01000000'],
  [rdp.capabilitySet, '1800 0b00 02000000 03 0c00'],
  [rdp.capabilitySet, '1900 0600 0100'],
  [rdp.capabilitySet, '0600 0500 03'],
  [rdp.capabilitySet, '0e00 0400'],
  [rdp.capabilitySet, '7700 0600 aabb'],
  [rdp.capabilitySet, '0300 0600 aabb'],
  // [MS-RDPEPS] 4.1 and a blob behind it.
  [rdp.preconnectionPdu, '10000000 00000000 01000000 1cd00000'],
  [rdp.preconnectionPdu, '1a000000 00000000 02000000 00000000 0400 6100 6200 6300 0000'],
  // A logon of user u of domain D with password p, as our two sides say it.
  [rdp.tsRequest, '300da003020106a406020480090302'],
  [rdp.tsRequest, '300aa003020106a4030201ff'],
  [rdp.tsRequest, '300ba003020106a40402020080'],
  [rdp.tsRequest, '300ea003020106a407020500c000006d'],
  [auth.ntlmNegotiate, '4e544c4d53535000 01000000 b78208e2 0000000000000000 0000000000000000 0a00614a0000000f'],
  [
    auth.ntlmChallenge,
    '4e544c4d53535000 02000000 0200020038000000 35828ae2 1de556203c2e43b3 0000000000000000 280028003a000000 0a00614a0000000f 5300 0200020053000100020053000400020073000300020073000700080000693165 80dd0100000000',
  ],
  [
    auth.ntlmAuthenticate,
    `4e544c4d53535000 03000000 180018005c000000 7e007e0074000000 0200020058000000 020002005a000000 000000005c000000 10001000f2000000 358288e2 0a00614a0000000f ${'54'.repeat(16)} 4400 7500 ${'00'.repeat(24)} ${'77'.repeat(126)} ${'5b'.repeat(16)}`,
  ],
  [auth.avPairs, '0200 0200 5300 0700 0800 0000693165 80dd01 0000 0000 00000000'],
  [
    auth.spnegoToken,
    '6048 0606 2b0601050502 a03e303c a00e300c060a2b06010401823702020a a22a0428 4e544c4d53535000 01000000 b78208e2 0000000000000000 0000000000000000 0a00614a0000000f',
  ],
  [
    auth.spnegoToken,
    '602f06062b0601050502a0253023a00e300c060a2b06010401823702020aa104030205a0a305a0031b016ea4040402aabb',
  ],
  [auth.spnegoToken, 'a11b 3019 a003 0a0100 a312 0410 0100000032d7f82b89c3100b00000000'],
  [auth.spnegoToken, 'a115 3013 a003 0a0103 a10c 060a 2b06010401823702020a'],
  [auth.tsCredentials, '301b a003 020101 a114 0412 3010 a002 0400 a104 0402 7500 a204 0402 7000'],
  [auth.tsCredentials, '3017 a003 020101 a110 040e 300c a002 0400 a102 0400 a202 0400'],
  [auth.tsCredentials, '300b a003 020102 a104 0402 3000'],
  // [MS-TSGU] 2.2.10, as FreeRDP 2.11 writes and reads them.
  [rdp.gatewayPacket, '0100 0000 0e000000 01 00 0000 0200'],
  [rdp.gatewayPacket, '0200 0000 12000000 00000000 01 00 0000 0200'],
  [rdp.gatewayPacket, '0300 0000 10000000 00000000 0200 abcd'],
  [rdp.gatewayPacket, '0400 0000 18000000 0d000000 0100 0000 0600 6100 6200 0000'],
  [rdp.gatewayPacket, '0400 0000 1c000000 3f000000 0300 0000 0100000000000000 0200 6100'],
  [rdp.gatewayPacket, '0500 0000 1a000000 0100 00000000 0300 0000 01000000 02000000'],
  [rdp.gatewayPacket, `0500 0000 2a000000 0100 00000000 1400 0000 ${'0b'.repeat(16)} 0200 4100 0200 4200`],
  [rdp.gatewayPacket, '0500 0000 12000000 0100 f8590780 0000 0000'],
  [rdp.gatewayPacket, '0600 0000 14000000 0100 0400 7000 6300 0200 aabb'],
  [rdp.gatewayPacket, '0700 0000 18000000 00000000 0300 0000 00000080 00000000'],
  [rdp.gatewayPacket, '0800 0000 18000000 01 01 3d0d 0300 0200 6100 0400 6200 6300'],
  [rdp.gatewayPacket, '0900 0000 1a000000 00000000 0700 0000 01000000 3d0d 0200 aabb'],
  [rdp.gatewayPacket, '0a00 0000 0d000000 0300 010203'],
  [rdp.gatewayPacket, '0b00 0000 0c000000 0200 4100'],
  [rdp.gatewayPacket, '0c00 0000 10000000 0100000000000000'],
  [rdp.gatewayPacket, '0d00 0700 08000000'],
  [rdp.gatewayPacket, '1000 0000 0c000000 df590780'],
  [rdp.gatewayPacket, '1100 0000 0e000000 00000000 aabb'],
  [rdp.gatewayPacket, '7700 0000 0b000000 010203'],
];

interface Row {
  codec: Codec<unknown>;
  samples: Uint8Array[];
}

function collect(): Map<string, Row> {
  const rows = new Map<string, Row>();
  const add = (codec: Codec<unknown>, bytes: Uint8Array, atMost: number) => {
    const row = rows.get(codec.name) ?? { codec, samples: [] };
    rows.set(codec.name, row);
    if (row.samples.length < atMost && bytes.length <= SAMPLE_BYTES_MAX) row.samples.push(new Uint8Array(bytes));
  };
  for (const [codec, text] of vectors) add(codec, hex(text), Number.POSITIVE_INFINITY);
  for (const name of captureNames) samplePdus(name, (codec, bytes) => add(codec, bytes, SAMPLES_MAX), 60);
  return rows;
}

const rows = collect();
const randomly = { numRuns: 150, seed: 20260101 };

/** Decodes, or says that a typed error came. Anything else thrown fails the test. */
function attempt(codec: Codec<unknown>, bytes: Uint8Array): { value: unknown } | null {
  try {
    return { value: decode(codec, bytes) };
  } catch (error) {
    assert.ok(error instanceof DecodeError, `${codec.name} threw ${String(error)}`);
    return null;
  }
}

/** Bytes that decode must encode back to themselves; what does not decode must say so with a typed error. */
function holds(codec: Codec<unknown>, bytes: Uint8Array): void {
  const result = attempt(codec, bytes);
  if (result === null) return;
  const back = encode(codec, result.value);
  assert.deepEqual(Buffer.from(back).toString('hex'), Buffer.from(bytes).toString('hex'), codec.name);
}

for (const { codec, samples } of rows.values()) {
  test(`${codec.name}: vectors decode and encode back byte for byte`, () => {
    assert.ok(samples.length > 0, 'no sample');
    for (const bytes of samples)
      assert.equal(
        Buffer.from(encode(codec, decode(codec, bytes))).toString('hex'),
        Buffer.from(bytes).toString('hex'),
      );
  });

  test(`${codec.name}: cut at every byte it ends in a typed error or an honest value`, () => {
    for (const bytes of samples) for (let end = 0; end < bytes.length; end += 1) holds(codec, bytes.subarray(0, end));
  });

  test(`${codec.name}: changed bytes end in a typed error or an honest value`, () => {
    const change = fc.record({ sample: fc.nat(), at: fc.nat(), value: fc.nat(255), second: fc.nat() });
    fc.assert(
      fc.property(change, ({ sample, at, value, second }) => {
        const bytes = new Uint8Array(samples[sample % samples.length]!);
        if (bytes.length === 0) return;
        bytes[at % bytes.length] = value;
        bytes[second % bytes.length] = 255 - value;
        holds(codec, bytes);
      }),
      randomly,
    );
  });

  test(`${codec.name}: random bytes end in a typed error or an honest value`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => holds(codec, bytes)),
      randomly,
    );
  });
}

test('every PDU of every capture, at every layer, encodes back byte for byte', () => {
  let count = 0;
  for (const name of captureNames)
    samplePdus(name, (codec, bytes) => {
      count += 1;
      if (Buffer.compare(encode(codec, decode(codec, bytes)), bytes) !== 0)
        assert.fail(`${name}: ${codec.name} ${Buffer.from(bytes.subarray(0, 200)).toString('hex')}`);
    });
  assert.ok(count > 10_000, `only ${count} PDUs`);
});
