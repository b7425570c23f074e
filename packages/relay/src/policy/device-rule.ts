/**
 * Redirected devices ([MS-RDPEFS]) under a policy, both directions. Devices that may not be used are not announced; whoever asks for
 * one all the same is told by the gateway that there is none.
 */
import {
  type DeviceAnnounce,
  DeviceComponent,
  DeviceMajorFunction,
  DevicePacketId,
  DeviceType,
  deviceIoCompletion,
  deviceIoRequest,
  deviceListAnnounce,
  deviceListRemove,
  deviceMessage,
} from '@lucid-sessions/rdp';
import { attempt, decode, encode, Reader, Writer } from '@lucid-sessions/wire';
import type { RelaySide } from '../events.ts';
import type { PolicyJudge } from './channel-policy.ts';
import type { Verdict } from './message-gate.ts';
import type { Refusals } from './refusals.ts';

const HEADER_BYTES = 4;
const DEVICE_ID_BYTES = 4;
const IO_REQUEST_BYTES = 20;
/** Who the client is, and answers of the server: what is longer holds something else. */
const INTRODUCTION_BYTES_MAX = 2048;
const DEVICES_MAX = 1024;
const STATUS_NO_SUCH_DEVICE = 0xc000_000e;

/** CapabilityType of [MS-RDPEFS] 2.2.1.2 and the device it is about. */
const capabilityDevice: ReadonlyMap<number, number> = new Map([
  [2, DeviceType.printer],
  [3, DeviceType.serial],
  [4, DeviceType.filesystem],
  [5, DeviceType.smartcard],
]);
const introductions: Readonly<Record<RelaySide, readonly number[]>> = {
  client: [DevicePacketId.clientIdConfirm, DevicePacketId.clientName],
  server: [
    DevicePacketId.serverAnnounce,
    DevicePacketId.clientIdConfirm,
    DevicePacketId.deviceReply,
    DevicePacketId.userLoggedOn,
  ],
};

export interface DeviceRuleOptions {
  judge: PolicyJudge;
  refusals: Refusals;
  /** Says something to the server in the client's place. */
  answer: (to: RelaySide, message: Uint8Array) => void;
}

export class DeviceRule {
  readonly #options: DeviceRuleOptions;
  /** Ids of devices the server knows of. */
  readonly #announced = new Set<number>();

  constructor(options: DeviceRuleOptions) {
    this.#options = options;
  }

  judge(from: RelaySide, message: Uint8Array, isWhole: boolean): Verdict {
    if (message.length < HEADER_BYTES) return 'more';
    const { component, packetId } = decode(deviceMessage, message);
    if (component === DeviceComponent.printer) return this.#printer();
    if (component !== DeviceComponent.core) return this.#unread();
    if (from === 'server' && packetId === DevicePacketId.deviceIoRequest) return this.#request(message);
    if (from === 'client' && packetId === DevicePacketId.deviceIoCompletion) return this.#completion(message);
    if (!isWhole) return 'more';
    if (introductions[from].includes(packetId))
      return message.length <= INTRODUCTION_BYTES_MAX ? 'pass' : this.#unread();
    return attempt(() => this.#list(from, packetId, message)) ?? this.#unread();
  }

  /** Throws `DecodeError`. */
  #list(from: RelaySide, packetId: number, message: Uint8Array): Verdict {
    const data = message.subarray(HEADER_BYTES);
    if (packetId === (from === 'client' ? DevicePacketId.clientCapability : DevicePacketId.serverCapability))
      return this.#capabilities(message);
    if (from === 'client' && packetId === DevicePacketId.deviceListAnnounce)
      return this.#announce(message.length, decode(deviceListAnnounce, data).devices);
    if (from !== 'client' || packetId !== DevicePacketId.deviceListRemove) return this.#unread();
    const deviceIds = decode(deviceListRemove, data).deviceIds.filter((id) => this.#announced.delete(id));
    return deviceIds.length === 0 ? 'refuse' : ofCore(packetId, encode(deviceListRemove, { deviceIds }));
  }

  #announce(messageBytes: number, devices: DeviceAnnounce[]): Verdict {
    const kept = devices.filter(({ deviceType, deviceId }) => {
      const refused = this.#options.judge.device(deviceType);
      if (refused !== null) this.#options.refusals.add(`device refused: ${refused}`);
      const isKept = refused === null && (this.#announced.has(deviceId) || this.#announced.size < DEVICES_MAX);
      // An id that is given again belongs to the device it was given to last.
      if (isKept) this.#announced.add(deviceId);
      else this.#announced.delete(deviceId);
      return isKept;
    });
    const list = ofCore(DevicePacketId.deviceListAnnounce, encode(deviceListAnnounce, { devices: kept }));
    return list.length === messageBytes ? 'pass' : list;
  }

  /** DR_CORE_CAPABILITY_REQ and _RSP, [MS-RDPEFS] 2.2.2.7: without the sets of devices that may not be used. */
  #capabilities(message: Uint8Array): Verdict {
    const reader = new Reader(message, HEADER_BYTES);
    const count = reader.u16le();
    reader.skip(2);
    const kept: Uint8Array[] = [];
    for (let left = count; left > 0; left -= 1) {
      const { offset } = reader;
      const type = reader.u16le();
      const length = reader.u16le();
      if (length < 4) throw reader.error('invalid', 'a capability set has a header of 8 bytes');
      reader.skip(length - 4);
      const device = capabilityDevice.get(type);
      const isRefused = device !== undefined && this.#options.judge.device(device) !== null;
      if (!isRefused) kept.push(message.subarray(offset, reader.offset));
    }
    if (kept.length === count && reader.remaining === 0) return 'pass';
    const writer = new Writer().slice(message.subarray(0, HEADER_BYTES)).u16le(kept.length).u16le(0);
    for (const set of kept) writer.slice(set);
    return writer.bytes();
  }

  #request(message: Uint8Array): Verdict {
    if (message.length < HEADER_BYTES + IO_REQUEST_BYTES) return 'more';
    const { deviceId, completionId, majorFunction } = decode(deviceIoRequest, message.subarray(HEADER_BYTES));
    if (this.#announced.has(deviceId)) return 'pass';
    this.#options.refusals.add('request to a device that is not redirected refused');
    // A file id and what was done for a create, a length for the rest: [MS-RDPEFS] 2.2.1.5.
    const data = new Uint8Array(majorFunction === DeviceMajorFunction.create ? 5 : 4);
    const completion = encode(deviceIoCompletion, { deviceId, completionId, ioStatus: STATUS_NO_SUCH_DEVICE, data });
    this.#options.answer('server', ofCore(DevicePacketId.deviceIoCompletion, completion));
    return 'refuse';
  }

  #completion(message: Uint8Array): Verdict {
    if (message.length < HEADER_BYTES + DEVICE_ID_BYTES) return 'more';
    if (this.#announced.has(new Reader(message, HEADER_BYTES).u32le())) return 'pass';
    this.#options.refusals.add('contents of a device that is not redirected refused');
    return 'refuse';
  }

  /** [MS-RDPEPC] 2.2.1: what a printer is set to, and which way it is printed. */
  #printer(): Verdict {
    const refused = this.#options.judge.device(DeviceType.printer);
    if (refused === null) return 'pass';
    this.#options.refusals.add(`device refused: ${refused}`);
    return 'refuse';
  }

  #unread(): 'refuse' {
    this.#options.refusals.add('what could not be read on rdpdr refused');
    return 'refuse';
  }
}

const ofCore = (packetId: number, data: Uint8Array): Uint8Array =>
  encode(deviceMessage, { component: DeviceComponent.core, packetId, data });
