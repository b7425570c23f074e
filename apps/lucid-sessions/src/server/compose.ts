/**
 * Puts the five services together: in one process they meet as objects (no copy, no network), and each still opens its own
 * door; as five processes they meet over those doors. Which it is, `services` says; what they are told, the environment.
 */
import { randomUUID } from 'node:crypto';
import { Recorders as ApiRecorders, createApiServer, readApiEnv } from '@lucid-sessions/api';
import {
  LucidError,
  type PipelinePort,
  type PortName,
  type Ports,
  type ProcessorPort,
  type RecorderPort,
  rpcClient,
  rpcFailoverClient,
  type StoragePort,
} from '@lucid-sessions/contract';
import { parsePolicy, replayFields } from '@lucid-sessions/evidence';
import { type ChunkDisk, FileReserve, withReserve } from '@lucid-sessions/files';
import { type AlertKeeper, SessionIndexes } from '@lucid-sessions/indexer';
import { type KeyDirectory, KeyLock, LocalSeal, MemoryKeyShares, type VaultTransit } from '@lucid-sessions/keys';
import {
  type Environment,
  EnvironmentError,
  isAlarm,
  isBucket,
  type LogFacts,
  loggedError,
  maskedLog,
  noteBuild,
  type OnError,
  readInteger,
  readRecorderId,
  readServiceAccess,
  readServiceProof,
  readText,
  readUrl,
  ServiceCaller,
  type ServiceLog,
  SpanKind,
  secretValues,
  tracedPort,
  variableWarnings,
  withSecretFiles,
} from '@lucid-sessions/kit';
import { type EmbeddedLog, embeddedLogPort } from '@lucid-sessions/log';
import {
  h264Missing,
  indexerPlatform,
  nodeCrypto,
  nodeDecompressor,
  ownH264Decoder,
  threadedCrypto,
} from '@lucid-sessions/node';
import { createPipelineServer, readPipelineEnv } from '@lucid-sessions/pipeline';
import { createProcessorServer, readProcessorEnv } from '@lucid-sessions/processor';
import { ntHashOf } from '@lucid-sessions/rdp/auth';
import { type Recorder, readRecorderEnv, startRecorderServer } from '@lucid-sessions/recorder';
import { REPLAY_RULES } from '@lucid-sessions/recording';
import { createStorageServer, readMetadataDb, readStorageEnv } from '@lucid-sessions/storage';
import { anchorCheck, openAnchors, openStamper } from './anchors.ts';
import { thisBuild } from './build.ts';
import { consoleFiles } from './console-files.ts';
import { logOrigin, nowUs, openKeyDirectory, openStorage, openUnwrap, processorKeys } from './embedded-parts.ts';
import {
  closeFolders,
  type DataDirectory,
  dataDirectory,
  type ServiceName,
  serviceNames,
  withOwnSecrets,
} from './environment.ts';
import { openEventSinks } from './event-sinks.ts';
import { readKerberosTickets } from './kerberos.ts';
import { readKeyframePolicy, tellKeyframePolicy } from './keyframe-policy.ts';
import { logMetrics } from './log-metrics.ts';
import { isLogInBucket, type LogFileReader, logFiles, openLog } from './log-place.ts';
import { LogTurn } from './log-turn.ts';
import type { Door } from './ports.ts';
import { preflight, startProblem } from './preflight.ts';
import { rdpSigner } from './rdp-signer.ts';
import { type OpenRedis, openRedis, readRedis } from './redis.ts';
import { isRecordings, reservedLog, restoring, storageDirectories } from './reserved-parts.ts';
import { guardRestoredLog } from './restored-log.ts';
import { refuseHalfRestored } from './restoring.ts';
import { lockServices } from './service-lock.ts';
import { software } from './software.ts';
import type { Stores } from './store-scheme.ts';
import { storesOf } from './stores.ts';
import { readTracing, startTracing } from './tracing.ts';
import { trustPolicy } from './trust-policy.ts';
import { readVault, readVaultCredentials } from './vault.ts';
import { readWitnesses, startWitnesses } from './witnesses.ts';

export interface ComposeOptions {
  environment: Environment;
  /** Services this process runs; the others are reached over HTTP. All five by default. */
  services?: readonly ServiceName[];
  /** What an operator should see; nothing secret reaches it. */
  log?: ServiceLog;
  /** Tests put a faulty disk under the recorder's spool (module that exports `createDisk`). */
  spoolDiskModule?: string;
  /** Tests put a faulty disk under storage. */
  chunkDisk?: ChunkDisk;
}

export interface RunningLucid {
  directory: DataDirectory;
  /** Where each service of this process listens. */
  addresses: Partial<Record<ServiceName, string>>;
  /** Where RDP clients connect, and what certificate they see. */
  rdp: Pick<Recorder, 'addresses' | 'certificateSha256'> | null;
  /** From now on no new sessions: how many there are, and of how many something is not stored. Null: no recorder runs here. */
  drain: RecorderPort['drain'] | null;
  dispose(): Promise<void>;
}

/** Each may name several processes, with commas: calls go to one that answers. */
const urlVariables = {
  storage: ['SESSION_STORAGE_URL', 'http://127.0.0.1:8086'],
  processor: ['CHUNK_PROCESSOR_URL', 'http://127.0.0.1:8085'],
  pipeline: ['SESSION_PIPELINE_URL', 'http://127.0.0.1:8083'],
  recorder: ['SESSION_RECORDER_URL', 'http://127.0.0.1:8084'],
} as const satisfies Record<PortName, readonly [string, string]>;

/** Starts the services in the order in which they need each other. What was started is stopped again when a later one fails. */
export async function startLucid(given: ComposeOptions): Promise<RunningLucid> {
  tellUnknown(given);
  const options = { ...given, environment: withSecretFiles(given.environment) };
  const services = new Set(options.services ?? serviceNames);
  const directory = dataDirectory(options.environment);
  let doors: readonly Door[] = [];
  let composer: Composer | null = null;
  let tracing: Tracing | null = null;
  try {
    doors = await preflight({ environment: options.environment, services });
    tracing = await tracingOf(options.environment, services);
    composer = new Composer(options, tracing !== null);
    const running = await composer.start();
    return { ...running, dispose: () => running.dispose().finally(() => tracing?.stop()) };
  } catch (error) {
    await composer?.dispose();
    await tracing?.stop();
    throw startProblem(error, directory, doors);
  }
}

/** Before anything can fail: what is missing may be what was misspelt. */
function tellUnknown({ environment, log }: ComposeOptions): void {
  if (log === undefined) return;
  const masked = maskedLog(log, secretValues(environment));
  for (const line of variableWarnings(environment)) masked(line, { level: 'warn' });
}

type Tracing = Awaited<ReturnType<typeof startTracing>>;

/** Null where nothing is traced. */
async function tracingOf(environment: Environment, services: ReadonlySet<ServiceName>): Promise<Tracing | null> {
  const [only = ''] = services;
  const settings = readTracing(environment, services.size === 1 ? `lucid-sessions-${only}` : software.name);
  return settings === null ? null : startTracing(settings);
}

type Reserved<T extends object> = Parameters<typeof withReserve<T>> extends [T, ...infer Rest] ? Rest : never;

class Composer {
  readonly #keyShares = new MemoryKeyShares(nowUs);
  readonly #environment: Environment;
  readonly #directory: DataDirectory;
  readonly #services: ReadonlySet<ServiceName>;
  readonly #log: ServiceLog;
  readonly #disposers: (() => Promise<void>)[] = [];
  readonly #addresses: Partial<Record<ServiceName, string>> = {};
  readonly #caller: ServiceCaller;
  readonly #isTraced: boolean;
  readonly #vault: VaultTransit | null;
  #openStores: Stores | null = null;
  #openedRedis: OpenRedis | null = null;
  #reserve: Promise<FileReserve> | null = null;
  #indexes: SessionIndexes | null = null;
  #pipeline: PipelinePort | null = null;
  /** By URL. */
  readonly #recorders = new Map<string, RecorderPort>();
  readonly #spoolDiskModule: string | undefined;
  readonly #chunkDisk: ChunkDisk | undefined;

  constructor({ environment, services, log, spoolDiskModule, chunkDisk }: ComposeOptions, isTraced: boolean) {
    this.#isTraced = isTraced;
    this.#directory = dataDirectory(environment);
    refuseHalfRestored(this.#directory.root);
    this.#services = new Set(services ?? serviceNames);
    this.#environment = withOwnSecrets(environment, this.#directory, this.#services);
    this.#log = maskedLog(log ?? (() => {}), secretValues(this.#environment));
    this.#caller = new ServiceCaller({ ...readServiceAccess(this.#environment), onProblem: this.#warn() });
    this.#vault = readVault(environment);
    noteBuild(software.version);
    this.#spoolDiskModule = spoolDiskModule;
    this.#chunkDisk = chunkDisk;
  }

  async start(): Promise<RunningLucid> {
    const services = lockServices(this.#directory.root, this.#services);
    this.#disposers.push(async () => services.release());
    await this.#holdKeys();
    const storage = this.#services.has('storage') ? await this.#startStorage() : this.#remote('storage');
    const processor = this.#services.has('processor') ? await this.#startProcessor(storage) : this.#remote('processor');
    let recorder: RecorderPort | null = this.#services.has('recorder') ? null : this.#remote('recorder');
    const pipeline = this.#services.has('pipeline')
      ? await this.#startPipeline(storage, processor, () => recorder)
      : this.#remote('pipeline');
    this.#pipeline = pipeline;
    let rdp: RunningLucid['rdp'] = null;
    let drain: RunningLucid['drain'] = null;
    if (this.#services.has('recorder')) {
      const started = await this.#startRecorder(pipeline, processor);
      recorder = started.port;
      drain = () => started.port.drain();
      rdp = started;
    }
    if (this.#services.has('api'))
      await this.#startApi({ storage, processor, pipeline, recorder: recorder ?? notYet }, rdp);
    return {
      directory: this.#directory,
      addresses: this.#addresses,
      rdp,
      drain,
      dispose: () => this.dispose(),
    };
  }

  /** Keys are read once, at the start: while this runs nobody may rotate them. Of those that were given others have copies. */
  async #holdKeys(): Promise<void> {
    if (!this.#directory.keysGiven) {
      await openKeyDirectory(this.#directory);
      const lock = KeyLock.share(this.#directory.keys);
      this.#disposers.push(async () => lock.release());
    }
    const { chunkStoragePath } = readStorageEnv(this.#environment);
    closeFolders([this.#directory.log, ...(isBucket(chunkStoragePath) ? [] : [chunkStoragePath])]);
  }

  /** Its calls are spans where traces are wanted. */
  #seen<P extends object>(name: PortName, port: P, kind: SpanKind = SpanKind.INTERNAL): P {
    return this.#isTraced ? tracedPort(name, port, kind) : port;
  }

  /** In the reverse order of starting; each is given its chance even when another fails. */
  async dispose(): Promise<void> {
    for (let dispose = this.#disposers.pop(); dispose !== undefined; dispose = this.#disposers.pop())
      await dispose().catch((error: unknown) => this.#problem('stopping', error));
  }

  #problem(where: string, thrown: unknown, facts: LogFacts = {}): void {
    const error = loggedError(thrown);
    this.#log(`${where}: ${error.message}`, { level: 'error', where, error, ...facts });
  }

  #onError(service: ServiceName): OnError {
    return (where, thrown, facts) => this.#problem(where, thrown, { service, ...facts });
  }

  /** For what an operator should look at. */
  #warn(service?: ServiceName): (line: string) => void {
    return (line) =>
      this.#log(line, { ...(service === undefined ? {} : { service }), ...(isAlarm(line) ? {} : { level: 'warn' }) });
  }

  /** What this process writes to when somebody looks or deletes. */
  #keepReserve(): Promise<FileReserve> {
    const { root } = this.#directory;
    const directories = this.#services.has('storage') ? [root, ...storageDirectories(this.#environment)] : [root];
    const fileName = this.#services.has('storage') ? 'reserve' : 'reserve-pipeline';
    this.#reserve ??= FileReserve.open({ directories, fileName, say: this.#warn() });
    return this.#reserve;
  }

  get #stores(): Stores {
    this.#openStores ??= storesOf({
      metadataDb: readMetadataDb(this.#environment),
      directory: this.#directory,
      environment: this.#environment,
      say: this.#warn(),
    });
    return this.#openStores;
  }

  get #redis(): OpenRedis | null {
    const settings = readRedis(this.#environment);
    if (this.#openedRedis !== null || settings === null) return this.#openedRedis;
    const opened = openRedis(settings, this.#warn());
    this.#openedRedis = opened;
    this.#disposers.push(async () => opened.dispose());
    return opened;
  }

  /** The reserve of this machine's disks is no help to a database elsewhere. */
  #reserved<T extends object>(store: T, ...reserved: Reserved<T>): T {
    return this.#stores.isEmbedded ? withReserve(store, ...reserved) : store;
  }

  #urls(name: PortName): string[] {
    const [variable, fallback] = urlVariables[name];
    const { tls } = readServiceProof(this.#environment);
    const urls = readText(this.#environment, variable, tls === null ? fallback : fallback.replace('http:', 'https:'))
      .split(',')
      .map((url) => readUrl({ [variable]: url.trim() }, variable, fallback));
    if (tls !== null && !urls.every((url) => url.startsWith('https:')))
      throw new EnvironmentError(variable, 'must be https:// addresses where services have certificates');
    return urls;
  }

  /** Where the recorder's doors are: also that of this process is reached over its HTTP. */
  #recorderUrls(): string[] {
    const own = this.#addresses.recorder;
    return own === undefined ? this.#urls('recorder') : [own];
  }

  /** `configured`: the one of this process, or where SESSION_RECORDER_URL says. */
  #recorderAt(recorderId: string | null, url: string | null, configured: RecorderPort): RecorderPort {
    const isOwn = this.#services.has('recorder') && recorderId === readRecorderId(this.#environment);
    if (url === null || isOwn) return configured;
    const known = this.#recorders.get(url) ?? rpcClient('recorder', url, this.#caller.rpcOptions('recorder'));
    this.#recorders.set(url, known);
    return known;
  }

  /** One process with its own files has one recorder; else the pipeline knows which there are. */
  #recordersOf(ports: Ports): Pick<ApiRecorders, 'port' | 'doors'> {
    const configuredUrls = this.#recorderUrls();
    if (this.#services.has('recorder') && this.#stores.isEmbedded)
      return { port: ports.recorder, doors: async () => configuredUrls };
    return new ApiRecorders({
      pipeline: ports.pipeline,
      configured: ports.recorder,
      configuredUrls,
      at: ({ recorderId, url }) => this.#recorderAt(recorderId, url, ports.recorder),
      nowUs,
    });
  }

  #remote<P extends PortName>(name: P): Ports[P] {
    const urls = this.#urls(name);
    const bounds = { min: 1000, max: 300_000, fallback: 15_000 };
    // One that hangs must not keep a session from those that don't.
    const limit = urls.length > 1 ? { timeoutMsMax: readInteger(this.#environment, 'LUCID_FAILOVER_MS', bounds) } : {};
    return this.#seen(
      name,
      rpcFailoverClient(name, urls, { ...this.#caller.rpcOptions(name), ...limit }),
      SpanKind.CLIENT,
    );
  }

  /** The processor of this process starts before its pipeline: what comes first is judged when all of it is stored. */
  get #alertKeeper(): AlertKeeper {
    const pipeline = (): PipelinePort => {
      if (this.#pipeline === null)
        throw new LucidError('unavailable', 'the pipeline of this process is still starting');
      return this.#pipeline;
    };
    return {
      alertRules: async (request) => pipeline().alertRules(request),
      alertsFound: async (request) => pipeline().alertsFound(request),
    };
  }

  /** Made where chunks are sealed, from what is stored; read, and made again, where the API is. */
  async #sessionIndexes(storage: StoragePort): Promise<SessionIndexes> {
    if (this.#indexes !== null) return this.#indexes;
    const keys = await openKeyDirectory(this.#directory);
    const indexes = new SessionIndexes({
      storage,
      crypto: nodeCrypto,
      platform: indexerPlatform,
      unwrapKey: await openUnwrap(keys, this.#vault, [this.#keyShares]),
      keyframes: readKeyframePolicy(this.#environment),
      onError: (where, thrown) => this.#problem(where, thrown),
      ...(this.#services.has('processor') ? { alerts: this.#alertKeeper } : {}),
      onExamined: async (sessionId, tally) => {
        const counted = { ...replayFields(tally), rules: REPLAY_RULES };
        await this.#pipeline?.examined({ sessionId, software: `${software.name} ${software.version}`, counted });
      },
    });
    this.#disposers.push(() => indexes.dispose());
    this.#indexes = indexes;
    return indexes;
  }

  async #startStorage(): Promise<StoragePort> {
    const config = readStorageEnv(this.#environment);
    // In one process the sealed file comes from the processor's own memory: hashing it again would prove nothing.
    const verifyOnPut = config.verifyOnPut && !this.#services.has('processor');
    const { metadata, ...chunkStores } = await openStorage(this.#environment, config, this.#stores, this.#chunkDisk);
    const reserve = await this.#keepReserve();
    const server = createStorageServer(
      { ...config, verifyOnPut },
      {
        metadata: this.#reserved(metadata, reserve, isRecordings),
        ...chunkStores,
        reserve,
        nowUs,
        say: this.#warn('storage'),
        onError: this.#onError('storage'),
      },
    );
    this.#disposers.push(() => server.dispose());
    const { address } = await server.start();
    this.#addresses.storage = address;
    return this.#seen('storage', server.service);
  }

  async #startProcessor(storage: StoragePort): Promise<ProcessorPort> {
    const config = readProcessorEnv(this.#environment);
    const keys = await openKeyDirectory(this.#directory);
    const onError = this.#onError('processor');
    const indexes = await this.#sessionIndexes(storage);
    const server = createProcessorServer(config, {
      storage,
      index: indexes,
      software: `${software.name} ${software.version}`,
      build: await thisBuild(),
      crypto: nodeCrypto,
      keys: await processorKeys(keys, this.#vault, config),
      nowUs,
      h264: async () => {
        const choice = await ownH264Decoder();
        return choice === null ? { missing: h264Missing().message } : { decoder: choice.name };
      },
      keyframes: () => ({
        policy: tellKeyframePolicy(readKeyframePolicy(this.#environment)),
        usedMs: indexes.keyframesUsedMs,
      }),
      onError,
    });
    this.#disposers.push(() => server.dispose());
    this.#addresses.processor = (await server.start()).address;
    return this.#seen('processor', server.service);
  }

  async #logFiles(): Promise<LogFileReader> {
    const { read, close } = await logFiles(this.#environment, this.#directory);
    this.#disposers.push(close);
    return read;
  }

  /** Null where this pipeline is the only one. */
  async #logTurn(log: EmbeddedLog): Promise<LogTurn | null> {
    if (this.#stores.isEmbedded || !isLogInBucket(this.#environment)) return null;
    const coordination = await this.#stores.coordination();
    const turn = new LogTurn({
      log,
      coordination,
      owner: randomUUID(),
      nowUs,
      onProblem: this.#onError('pipeline'),
    });
    turn.start();
    this.#disposers.push(async () => {
      await turn.dispose();
      await coordination.dispose();
    });
    return turn;
  }

  async #startPipeline(
    storage: StoragePort,
    processor: ProcessorPort,
    recorder: () => RecorderPort | null,
  ): Promise<PipelinePort> {
    const keys = await openKeyDirectory(this.#directory);
    const origin = logOrigin(this.#environment, this.#directory);
    const { log, close } = await openLog(this.#environment, keys, this.#directory, origin);
    this.#disposers.push(close);
    const asked = { storage, nowUs, say: this.#warn('pipeline') };
    const witnessesCount = readWitnesses(this.#environment).length;
    const hasWitnesses = witnessesCount > 0;
    const guard = await guardRestoredLog({ ...asked, log, hasWitnesses, directory: this.#directory.log });
    const turn = hasWitnesses ? await this.#logTurn(log) : null;
    const told = { ...asked, ...(guard === null ? {} : guard) };
    const witnesses = startWitnesses(this.#environment, turn?.heard ?? log, told);
    if (witnesses !== null) this.#disposers.push(() => witnesses.dispose());
    const read = readPipelineEnv(this.#environment);
    const config = { ...read, limits: { ...read.limits, witnesses: witnessesCount } };
    const stamper = read.limits.renewalMs === 0 ? null : openStamper(this.#environment, { nowUs });
    const lender = readVaultCredentials(this.#environment);
    const waker = this.#redis?.jobWaker(origin);
    const reserve = await this.#keepReserve();
    if (!this.#services.has('storage')) this.#disposers.push(restoring(reserve));
    const server = createPipelineServer(config, {
      storage,
      processor,
      recorder: (recorderId, url) => this.#recorderAt(recorderId, url, recorder() ?? notYet),
      log: reservedLog(embeddedLogPort(log), reserve),
      eventSinks: openEventSinks(this.#environment),
      ...(stamper === null ? {} : { stamper }),
      anchors: openAnchors(this.#environment, { storage, nowUs, log: this.#warn('pipeline') }),
      readLogFile: await this.#logFiles(),
      moreMetrics: async () => logMetrics(log, witnesses),
      queue: this.#reserved(await this.#stores.queue(), reserve),
      ...(waker === undefined ? {} : { waker }),
      journal: this.#reserved(await this.#stores.journal(), reserve),
      // One data directory has one pipeline.
      ...(this.#stores.isEmbedded ? {} : { coordination: await this.#stores.coordination() }),
      seal: new LocalSeal(await keys.secretsKey()),
      ...(lender === null ? {} : { credentialProvider: lender }),
      nowUs,
      random: Math.random,
      randomBytes: nodeCrypto.randomBytes,
      ntHashOf,
      newId: randomUUID,
      onError: this.#onError('pipeline'),
    });
    this.#disposers.push(() => server.dispose());
    this.#addresses.pipeline = (await server.start()).address;
    return this.#seen('pipeline', server.service);
  }

  /** What the API publishes is made now if processor and pipeline, in other processes, have not made it yet. */
  async #makePublished(keys: KeyDirectory): Promise<void> {
    if (this.#directory.keysGiven) return;
    await keys.identity();
    await keys.logSigner(logOrigin(this.#environment, this.#directory));
  }

  async #startApi(ports: Ports, rdp: RunningLucid['rdp']): Promise<void> {
    const keys = await openKeyDirectory(this.#directory);
    await this.#makePublished(keys);
    const trustedKeys = await trustPolicy(keys, this.#environment, this.#directory);
    const checkAnchor = anchorCheck(this.#environment);
    const config = readApiEnv(this.#environment, software.version);
    const staticDir = await consoleFiles();
    const recorders = this.#recordersOf(ports);
    const accountsKey = await keys.accountsKey();
    const redis = this.#redis;
    // A port the system chose is known only now.
    const rdpPort = rdp?.addresses[0]?.port;
    const gateway = { ...config.gateway, ...(rdpPort === undefined ? {} : { port: rdpPort }) };
    const server = createApiServer(
      { ...config, ...(this.#environment.LUCID_PUBLIC_RDP_PORT ? {} : { gateway }) },
      {
        ...ports,
        verification: {
          crypto: threadedCrypto,
          decompressor: nodeDecompressor,
          policy: parsePolicy(new TextEncoder().encode(JSON.stringify(trustedKeys))),
          ...(checkAnchor === null ? {} : { checkAnchor }),
        },
        trustedKeys,
        // A log in a directory is where the pipeline is; as five processes, its own door serves it.
        ...(this.#services.has('pipeline') || isLogInBucket(this.#environment)
          ? { readLogFile: await this.#logFiles() }
          : {}),
        unwrapKey: await openUnwrap(keys, this.#vault, [this.#keyShares]),
        keyShares: this.#keyShares,
        sessionIndexes: await this.#sessionIndexes(ports.storage),
        nowUs,
        newId: randomUUID,
        randomBytes: nodeCrypto.randomBytes,
        recorder: recorders.port,
        recorderDoor: { urls: (route) => recorders.doors(route), caller: this.#caller },
        ...(accountsKey === null ? {} : { accountSeal: new LocalSeal(accountsKey) }),
        signRdpFile: rdpSigner(this.#environment, this.#directory.keys),
        ...(staticDir === null ? {} : { staticDir }),
        ...(redis === null ? {} : { rateLimiter: redis.rateLimiter }),
        onError: this.#onError('api'),
        onRequest: ({ request, ...more }) =>
          this.#log(`${more.method} ${more.path} ${more.status}`, { level: 'debug', service: 'api', request, more }),
      },
    );
    this.#disposers.push(() => server.dispose());
    this.#addresses.api = (await server.start()).address;
  }

  async #startRecorder(pipeline: PipelinePort, processor: ProcessorPort): Promise<Recorder> {
    const server = await startRecorderServer(readRecorderEnv(this.#environment), {
      pipeline,
      processor,
      kerberos: readKerberosTickets(this.#environment),
      onProblem: this.#warn('recorder'),
      onLog: (line) => this.#log(line, { service: 'recorder' }),
      onError: this.#onError('recorder'),
      ...(this.#spoolDiskModule === undefined ? {} : { spoolDiskModule: this.#spoolDiskModule }),
    });
    this.#disposers.push(() => server.dispose());
    this.#addresses.recorder = server.address;
    return server.recorder;
  }
}

const startingUp = async (): Promise<never> => {
  throw new LucidError('unavailable', 'the recorder of this process is still starting; ask again');
};

/** Stands for the recorder of this process until it has started: the pipeline looks after old sessions before that. */
const notYet: RecorderPort = {
  stop: startingUp,
  pause: startingUp,
  resume: startingUp,
  message: startingUp,
  steer: startingUp,
  live: startingUp,
  liveFrames: startingUp,
  judgeTarget: startingUp,
  checkTarget: startingUp,
  replicaState: startingUp,
  replicate: startingUp,
  importCapture: startingUp,
  drain: startingUp,
  health: startingUp,
};
