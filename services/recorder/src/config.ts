/** Configuration of the recorder. Read once, in main. */
import {
  type ChannelBound,
  type ChannelRules,
  parseTargetRule,
  type TargetPolicy,
  type TargetRule,
  type Unreplayable,
} from '@lucid-sessions/contract';
import {
  type Environment,
  EnvironmentError,
  type InternalService,
  isLoopback,
  type KeyPlace,
  type NlaVariable,
  parseCertificateSha256,
  parseChannelRules,
  parseLeaveIn,
  parseRetentionDays,
  readBoolean,
  readChunkBytesMax,
  readCookieRoute,
  readInteger,
  readInternalService,
  readKeyPlace,
  readNla,
  readRdpCertificate,
  readRdpHost,
  readRdpPort,
  readRecorderId,
  readServicePort,
  readServiceProof,
  readSessionsMax,
  readText,
  readUrl,
  type ServicePortVariable,
  servicePorts,
} from '@lucid-sessions/kit';
import type { NtpServer } from './clock/ntp-source.ts';
import type { KerberosPolicy, KerberosRules } from './front-door/kerberos.ts';

export interface ListenerRule {
  host: string;
  port: number;
  /** host:port every connection goes to; null: the connection names its session. */
  target: string | null;
  /** How that target's certificate is judged; by the system's roots when neither is given. */
  ignoreCert?: boolean;
  pinnedSha256?: string;
  /** Takes TLS 1.0 and suites without forward secrecy from that target: a recorded fact. */
  legacyTls?: boolean;
  /** What of what can't be replayed it may negotiate; as the installation says when it is not given. */
  leaveIn?: readonly Unreplayable[];
  /** Whether it may use RDP bulk compression; the same. */
  bulkCompression?: boolean;
  /** What may cross beside screen and input; the same, rule by rule. */
  channels?: ChannelRules;
  /** Days its recordings are kept, null: until deleted; as the installation says when it is not given. */
  retentionDays?: number | null;
}

const kerberosPolicies: readonly string[] = ['off', 'prefer', 'require'] satisfies KerberosPolicy[];
const isPolicy = (text: string): text is KerberosPolicy => kerberosPolicies.includes(text);

export interface RecorderConfig extends InternalService {
  /** Names this recorder in records and leases. */
  recorderId: string;
  /** Where the other services reach its internal door; null: at the address it listens on. */
  ownUrl?: string | null;
  /** Of the spool's key, and of the certificate where no other is named. */
  keys: KeyPlace;
  listeners: readonly ListenerRule[];
  /** PEM files of the certificate clients see; one is made where they are absent. */
  certificatePath?: string;
  keyPath?: string;
  sessionsMax: number;
  chunkBytesMax: number;
  /** A chunk is closed after this at the latest. */
  chunkAgeMs: number;
  /** Base URLs of the recorders that may keep a copy of the spool, in the order they are asked; none: there is no copy. */
  spoolReplicas: readonly string[];
  /** While it is reached and further behind than this, no more is read from sockets; 0: nothing waits for it. */
  spoolReplicaHoldMs: number;
  /** Without a word of a recorder whose spool is kept here, it is asked about after this. */
  takeOverMs: number;
  /** Spooled chunks that are not stored yet, all together. */
  spoolBytesMax: number;
  /** From the TCP connection to the client's first RDP bytes. */
  handshakeMs: number;
  /** Connections of one client address that are no session yet. */
  waitingPerAddressMax: number;
  /** Of all addresses together. */
  waitingMax: number;
  /** New connections of one client address. */
  connectionsPerSecondMax: number;
  /** Whether clients log on to the gateway, and from which version of CredSSP on (2 to 6). */
  nla: NlaVariable;
  nlaVersionMin: number;
  /** Names of users lead to sessions, too. */
  cookieRoute: boolean;
  /** Which targets of created sessions may be reached. */
  targets: TargetPolicy;
  /** What no session may loosen, by target. */
  channelBounds: readonly ChannelBound[];
  /** Whether targets are logged on to by Kerberos. */
  kerberos: KerberosRules;
  /** How long a refusal is shown in words before it is an error code; 0: not at all. */
  refusalMs: number;
  /** What the graphics pipeline draws is read, so that messages can be shown over it. */
  paintsPipeline: boolean;
  /** From there to the first desktop (or logon screen). */
  activationMs: number;
  /** Without client input; 0: no limit. */
  idleMs: number;
  /** Compared with nothing unless given. */
  clock?: ClockConfig;
}

/** What the recorder's clock is compared with, and what follows. */
export interface ClockConfig {
  /** NTP servers, and `chrony`: the one of this machine. Empty: it is compared with nothing. */
  sources: readonly (NtpServer | 'chrony')[];
  everyMs: number;
  offsetUsMax: number;
  /** Sessions are taken only while it is compared and within the bound. */
  required: boolean;
}

const mebibyte = 1024 * 1024;
const listenersMax = 64;
const rulePattern = /^(\d{1,5})=((?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):\d{1,5})((?:;[^;]*)*)$/;

export function readRecorderEnv(environment: Environment): RecorderConfig {
  const integer = (variable: string, min: number, max: number, fallback: number): number =>
    readInteger(environment, variable, { min, max, fallback });
  const rdpHost = readRdpHost(environment);
  const listeners = [
    { host: rdpHost, port: readRdpPort(environment), target: null },
    ...readRules(environment, rdpHost),
  ];
  const sessionsMax = readSessionsMax(environment);
  const waitingPerAddressMax = integer('RDP_WAITING_PER_ADDRESS', 4, 20_000, Math.max(200, 2 * sessionsMax));
  return {
    ...readInternalService(environment, 'SESSION_RECORDER_PORT'),
    recorderId: readRecorderId(environment),
    ownUrl: readOwnUrl(environment),
    keys: readKeyPlace(environment),
    listeners,
    ...(readRdpCertificate(environment) ?? {}),
    sessionsMax,
    chunkBytesMax: readChunkBytesMax(environment),
    chunkAgeMs: integer('LUCID_CHUNK_AGE_MS', 200, 30_000, 30_000),
    spoolReplicas: readSpoolReplicas(environment),
    spoolReplicaHoldMs: integer('LUCID_SPOOL_REPLICA_HOLD_MS', 0, 60_000, 0),
    takeOverMs: integer('LUCID_SPOOL_TAKEOVER_SECONDS', 1, 86_400, 60) * 1000,
    spoolBytesMax: integer('LUCID_SPOOL_MAX_MB', 64, 100_000_000, 20_480) * mebibyte,
    handshakeMs: integer('RDP_HANDSHAKE_SECONDS', 1, 600, 30) * 1000,
    waitingPerAddressMax,
    waitingMax: integer('RDP_WAITING_CONNECTIONS', 16, 100_000, 4 * waitingPerAddressMax),
    connectionsPerSecondMax: integer('RDP_CONNECTIONS_PER_SECOND', 1, 10_000, 50),
    nla: readNla(environment),
    nlaVersionMin: integer('RDP_NLA_MIN_VERSION', 2, 6, 5),
    cookieRoute: readCookieRoute(environment),
    targets: readTargets(environment, rdpHost, listeners),
    channelBounds: readChannelBounds(environment),
    kerberos: readKerberos(environment),
    refusalMs: integer('RDP_REFUSAL_SECONDS', 0, 600, 60) * 1000,
    paintsPipeline: readBoolean(environment, 'RDP_GRAPHICS_NOTICES', true),
    activationMs: integer('RDP_ACTIVATION_SECONDS', 1, 3600, 120) * 1000,
    idleMs: integer('RDP_IDLE_MINUTES', 0, 10_080, 0) * 60_000,
    clock: readClock(environment),
  };
}

const clockSourcesMax = 16;

function readClock(environment: Environment): ClockConfig {
  const texts = readText(environment, 'LUCID_CLOCK_SOURCES', '')
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '');
  const sources = texts.map((text) => (text === 'chrony' ? text : readNtpServer(text)));
  const required = readText(environment, 'LUCID_CLOCK_REQUIRED', 'off');
  if (required !== 'on' && required !== 'off')
    throw new EnvironmentError('LUCID_CLOCK_REQUIRED', `must be on or off, not "${required}"`);
  if (required === 'on' && sources.length === 0)
    throw new EnvironmentError('LUCID_CLOCK_REQUIRED', 'needs LUCID_CLOCK_SOURCES: what the clock is compared with');
  if (sources.length > clockSourcesMax)
    throw new EnvironmentError('LUCID_CLOCK_SOURCES', `must be at most ${clockSourcesMax} sources`);
  return {
    sources,
    everyMs: readInteger(environment, 'LUCID_CLOCK_EVERY_SECONDS', { min: 1, max: 3600, fallback: 128 }) * 1000,
    offsetUsMax:
      readInteger(environment, 'LUCID_CLOCK_OFFSET_MAX_MS', { min: 1, max: 3_600_000, fallback: 1000 }) * 1000,
    required: required === 'on',
  };
}

function readNtpServer(text: string): NtpServer {
  const [, bracketed, plain, port = '123'] =
    /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9.-]{1,253}))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || !(Number(port) >= 1 && Number(port) <= 65_535))
    throw new EnvironmentError(
      'LUCID_CLOCK_SOURCES',
      `must be NTP servers (name, address or [address], with :port if it is not 123) and chrony, with commas; "${text}" is none`,
    );
  return { host, port: Number(port) };
}

/** Behind a name of its own, not the one under which a load balancer spreads calls over all recorders. */
function readOwnUrl(environment: Environment): string | null {
  const isSet = readText(environment, 'SESSION_RECORDER_OWN_URL', '') !== '';
  return isSet ? readUrl(environment, 'SESSION_RECORDER_OWN_URL', '') : null;
}

const replicasMax = 8;

function readSpoolReplicas(environment: Environment): string[] {
  const variable = 'LUCID_SPOOL_REPLICA';
  const text = readText(environment, variable, '');
  if (text === '') return [];
  const urls = text.split(',').map((each) => readUrl({ [variable]: each.trim() }, variable, ''));
  if (urls.length > replicasMax || new Set(urls).size < urls.length)
    throw new EnvironmentError(variable, `must be at most ${replicasMax} addresses, each once, with commas`);
  if (readServiceProof(environment).tls !== null && !urls.every((url) => url.startsWith('https:')))
    throw new EnvironmentError(variable, 'must be an https:// address where services have certificates');
  return urls;
}

const targetRulesMax = 1000;

function readTargetRules(environment: Environment, variable: string): TargetRule[] {
  const texts = readText(environment, variable, '')
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '');
  const rules = texts.map(parseTargetRule).filter((rule) => rule !== null);
  const isBlank = texts.length === 0 && readText(environment, variable, '') !== '';
  // Commas and spaces alone are a list somebody meant to fill: as an empty one it would open everything.
  if (isBlank || rules.length !== texts.length || rules.length > targetRulesMax)
    throw new EnvironmentError(
      variable,
      `must be at most ${targetRulesMax} of *, name, *.domain, address or network/bits, with commas, each with :port or :from-to behind it if it is not for every port`,
    );
  return rules;
}

function readChannelBounds(environment: Environment): ChannelBound[] {
  const texts = readText(environment, 'RDP_TARGET_CHANNELS', '')
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '');
  return texts.map((text) => {
    const [, targetText = '', rulesText = ''] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    const target = parseTargetRule(targetText);
    const rules = parseChannelRules(rulesText);
    if (target === null || rules === null || texts.length > targetRulesMax)
      throw new EnvironmentError(
        'RDP_TARGET_CHANNELS',
        `must be at most ${targetRulesMax} of TARGET=RULES, with commas: targets as RDP_TARGETS_ALLOW takes them, rules as RDP_CHANNELS`,
      );
    return { target, rules };
  });
}

/** `POLICY`, and behind it, with commas, `TARGET=POLICY`. */
export function readKerberos(environment: Environment): KerberosRules {
  const [policy = '', ...more] = readText(environment, 'LUCID_KERBEROS', 'off')
    .split(',')
    .map((text) => text.trim());
  const exceptions = more.map((text) => {
    const [, targetText = '', ofTarget = ''] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    const target = parseTargetRule(targetText);
    return target !== null && isPolicy(ofTarget) ? { target, policy: ofTarget } : null;
  });
  const good = exceptions.filter((one) => one !== null);
  if (!isPolicy(policy) || good.length !== exceptions.length || good.length > targetRulesMax)
    throw new EnvironmentError(
      'LUCID_KERBEROS',
      `must be off, prefer or require, and behind it at most ${targetRulesMax} of TARGET=off, TARGET=prefer or TARGET=require, with commas: targets as RDP_TARGETS_ALLOW takes them`,
    );
  const ownTargets = readTargetRules(environment, 'LUCID_KERBEROS_KEYTAB_TARGETS');
  return { policy, exceptions: good, ownTargets };
}

/** The services' ports count as the product's own also where another process listens on them. */
function readTargets(environment: Environment, rdpHost: string, listeners: readonly ListenerRule[]): TargetPolicy {
  const doors = Object.keys(servicePorts) as ServicePortVariable[];
  return {
    allow: readTargetRules(environment, 'RDP_TARGETS_ALLOW'),
    deny: readTargetRules(environment, 'RDP_TARGETS_DENY'),
    opensLoopback: isLoopback(rdpHost),
    ownPorts: [
      ...doors.map((variable) => readServicePort(environment, variable)),
      ...listeners.map(({ port }) => port),
    ],
  };
}

function readRules(environment: Environment, host: string): ListenerRule[] {
  const rules = readText(environment, 'RDP_LISTENERS', '')
    .split(',')
    .map((rule) => rule.trim())
    .filter((rule) => rule !== '');
  const read = rules.map((rule) => {
    const [, port, target, rest = ''] = rulePattern.exec(rule) ?? [];
    const targetPort = Number(target?.slice(target.lastIndexOf(':') + 1));
    const options = readOptions(rest);
    return target !== undefined && Number(port) <= 65_535 && targetPort >= 1 && targetPort <= 65_535 && options !== null
      ? { host, port: Number(port), target, ...options }
      : null;
  });
  const good = read.filter((rule) => rule !== null);
  if (good.length !== rules.length || good.length > listenersMax)
    throw new EnvironmentError(
      'RDP_LISTENERS',
      `must be at most ${listenersMax} rules port=host:port, with commas, behind each ;ignore_cert or ;sha256=HEX if its certificate is self-signed, ;legacy_tls if it knows only old TLS, ;bulk_compression=off (or on), ;leave_in=NAMES (of graphics, bitmap_cache, udp, video, with +, or none), ;channels=RULES (as RDP_CHANNELS takes them), and ;retention=DAYS (1 to 36500, or none)`,
    );
  return good;
}

type RuleOptions = Omit<ListenerRule, 'host' | 'port' | 'target'>;

/** What stands behind a rule; null where it is nothing that is known, or said twice. */
function readOptions(text: string): RuleOptions | null {
  const options: RuleOptions = {};
  for (const part of text.split(';').slice(1)) {
    const option = readOption(part);
    if (option === null || Object.keys(option).some((name) => name in options)) return null;
    Object.assign(options, option);
  }
  return options.ignoreCert !== undefined && options.pinnedSha256 !== undefined ? null : options;
}

function readOption(text: string): RuleOptions | null {
  const [, name, value = ''] = /^(\w+)(?:=(.*))?$/.exec(text) ?? [];
  if (text === 'ignore_cert') return { ignoreCert: true };
  if (text === 'legacy_tls') return { legacyTls: true };
  if (name === 'bulk_compression')
    return value === 'on' || value === 'off' ? { bulkCompression: value === 'on' } : null;
  const leaveIn = name === 'leave_in' ? parseLeaveIn(value) : null;
  if (leaveIn !== null) return { leaveIn };
  const channels = name === 'channels' ? parseChannelRules(value) : null;
  if (channels !== null) return { channels };
  const pinnedSha256 = name === 'sha256' ? parseCertificateSha256(value) : null;
  if (pinnedSha256 !== null) return { pinnedSha256 };
  const retentionDays = name === 'retention' ? parseRetentionDays(value) : undefined;
  return retentionDays === undefined ? null : { retentionDays };
}
