// What the command line needs from the floors below, as one interface: commands call this and nothing else, so that a test can be the library.

import type { BuildOptions, BuildResult } from '../../build/build.ts';
import type { DryRunOptions, DryStep } from '../../build/dry-run.ts';
import type { ShownStatus } from '../../build/history/builds.ts';
import type { StepDetails } from '../../build/history/steps.ts';
import type { CheckResult, InspectOptions, OutlineResult, TargetsResult } from '../../build/inspect.ts';
import type { LockOptions, LockResult } from '../../build/lock/lock.ts';
import type { ShellOptions } from '../../build/shell.ts';
import type { TakeOutOptions } from '../../build/take-out.ts';
import type { BuildRecord } from '../../cache/builds.ts';
import type { Pruned as RemotePruned, PruneOptions as RemotePruneOptions } from '../../cache/remote/backend.ts';
import type { DiskUsage } from '../../containers/disk-usage.ts';
import type { EventOptions, TimedEvent } from '../../containers/events.ts';
import type { CommitOptions } from '../../containers/files/commit.ts';
import type { CopyOptions } from '../../containers/files/copy.ts';
import type { ListedContainer, ListOptions } from '../../containers/listing.ts';
import type { LogEntry, LogOptions } from '../../containers/logs.ts';
import type { Network } from '../../containers/networks/network.ts';
import type { NetworkOptions } from '../../containers/networks/networks.ts';
import type { PrunedImages, PruneImagesOptions } from '../../containers/prune-images.ts';
import type { NetworkAttachment } from '../../containers/spec.ts';
import type { SampledContainer } from '../../containers/stats.ts';
import type { Processes } from '../../containers/top.ts';
import type { Volume } from '../../containers/volumes/volume.ts';
import type { NewVolume, PrunedVolumes } from '../../containers/volumes/volumes.ts';
import type { HistoryRow, ImageInspection } from '../../images/describe.ts';
import type { StoreCheck } from '../../images/fsck.ts';
import type { Image, ImageIndex } from '../../images/image.ts';
import type { Sbom, SbomFormat } from '../../images/image-sbom.ts';
import type { ImportOptions } from '../../images/import.ts';
import type { LoadOptions } from '../../images/load.ts';
import type { SaveOptions } from '../../images/save.ts';
import type { Removal } from '../../images/store.ts';
import type { WrittenFiles } from '../../native/files.ts';
import type { OwnIds } from '../../native/serve.ts';
import type { Platform } from '../../oci/config.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { CopyImageOptions } from '../../registry/copy-image.ts';
import type { Combined, CombineOptions, RemoteManifest } from '../../registry/image-tools.ts';
import type { Login, LoginOptions } from '../../registry/login.ts';
import type { Pulled, PullOptions } from '../../registry/pull.ts';
import type { Pushed, PushOptions } from '../../registry/push.ts';
import type { DetailsWanted } from '../../registry/remote-details.ts';
import type { FoundRepository, SearchOptions } from '../../registry/search.ts';
import type { CacheAddress } from '../../snapshots/absent-data.ts';
import type { Difference } from '../../snapshots/differences.ts';
import type { DriverChoice } from '../../snapshots/driver.ts';
import type { Pruned, PruneOptions } from '../../upkeep/prune.ts';
import type { UsageItem } from '../../upkeep/usage.ts';
import type { ContainerLibrary } from './containers.ts';

export interface StoreInfo {
  readonly root: string;
  readonly driver: DriverChoice;
  /** Of an account that is not root. */
  readonly ids: OwnIds | undefined;
  readonly containers: { readonly running: number; readonly paused: number; readonly stopped: number };
  readonly images: number;
  readonly layers: number;
  /** Of the files of all layers. */
  readonly layersSizeBytes: number;
}

export type ListedBuild = BuildRecord & { readonly shownStatus: ShownStatus };

export interface DescribedBuild {
  readonly build: ListedBuild;
  readonly steps: readonly StepDetails[];
}

export interface SbomRequest {
  readonly format: SbomFormat;
  readonly platform: Platform | undefined;
  readonly epoch: number | undefined;
}

export interface ContainerLog {
  readonly entries: AsyncIterable<readonly LogEntry[]>;
  /** What --log-opt says that is to be known of each entry: `name=value`, separated by commas. */
  readonly attributes: string;
}

export interface Library extends ContainerLibrary {
  buildImage(options: BuildOptions): Promise<BuildResult>;
  checkBuild(options: InspectOptions): Promise<CheckResult>;
  outlineBuild(options: InspectOptions): Promise<OutlineResult>;
  listTargets(options: InspectOptions): Promise<TargetsResult>;
  lockBuild(options: LockOptions): Promise<LockResult>;
  /** Newest first. */
  listContainers(options: ListOptions): Promise<readonly ListedContainer[]>;
  inspectContainer(nameOrId: string, options: { readonly hasSize: boolean }): Promise<object>;
  /** `options`: of ps. */
  listProcesses(nameOrId: string, options: readonly string[]): Promise<Processes>;
  sampleContainers(names: readonly string[], options: { readonly all: boolean }): Promise<readonly SampledContainer[]>;
  readLog(nameOrId: string, options: LogOptions): Promise<ContainerLog>;
  diskUsage(): Promise<DiskUsage>;
  /** Those that no container is of. */
  pruneImages(options: PruneImagesOptions): Promise<PrunedImages>;
  readEvents(options: EventOptions): Promise<AsyncIterable<TimedEvent>>;
  /** Where the last RUN failed. */
  openShell(options: ShellOptions): Promise<number>;
  takeOut(options: TakeOutOptions): Promise<void>;
  /** Without those that are only there as part of an index. */
  listImages(): Promise<readonly (Image | ImageIndex)[]>;
  inspectImage(name: string, platform?: Platform): Promise<ImageInspection>;
  /** Newest first. */
  imageHistory(name: string, platform?: Platform): Promise<readonly HistoryRow[]>;
  /** What an image is made of; `epoch`: when the document is said to be of, in seconds. */
  describeContents(name: string, options: SbomRequest): Promise<Sbom>;
  tagImage(source: string, target: string): Promise<void>;
  removeImage(name: string, options: { readonly force: boolean }): Promise<readonly Removal[]>;
  loadImages(options: LoadOptions): Promise<readonly (Image | ImageIndex)[]>;
  importImage(options: ImportOptions): Promise<Image>;
  /** With the environment of this process. */
  login(options: Omit<LoginOptions, 'env'>): Promise<Login>;
  isLoginKnown(server: string | undefined): Promise<boolean>;
  logout(options: Omit<LoginOptions, 'env' | 'credentials'>): Promise<{ readonly registry: string; readonly had: boolean }>;
  pullImages(name: string, options: PullOptions): Promise<readonly Pulled[]>;
  pushImages(name: string, options: PushOptions): Promise<readonly Pushed[]>;
  searchRegistry(term: string, options: SearchOptions): Promise<readonly FoundRepository[]>;
  /** What was copied. */
  copyImage(source: string, destination: string, options: CopyImageOptions): Promise<Descriptor>;
  inspectRemote(name: string, signal: AbortSignal, wanted?: DetailsWanted): Promise<RemoteManifest>;
  combineRemote(names: readonly string[], options: CombineOptions): Promise<Combined>;
  saveImages(names: readonly string[], options: SaveOptions): Promise<void>;
  /** Newest first. */
  listBuilds(): Promise<readonly ListedBuild[]>;
  /** By its id; undefined: the last. Of the steps that `step` names; undefined: all but sources. */
  describeBuild(id: string | undefined, step?: string): Promise<DescribedBuild>;
  /** What a build would execute, and why. */
  dryRun(options: DryRunOptions): Promise<readonly DryStep[]>;
  buildLog(id: string | undefined): Promise<string>;
  /** Returns the ids of those that went. Undefined: all that have ended. */
  removeBuilds(ids: readonly string[] | undefined): Promise<readonly string[]>;
  /** `after` undefined: what the container `before` changed, or the last layer of what `before` is. */
  diffTrees(before: string, after: string | undefined): Promise<readonly Difference[]>;
  /** By name. */
  listNetworks(): Promise<readonly { readonly network: Network; readonly isUsed: boolean }[]>;
  createNetwork(options: NetworkOptions): Promise<Network>;
  /** Docker's document. */
  inspectNetwork(name: string): Promise<object>;
  removeNetwork(name: string): Promise<void>;
  /** Resolves to the names of those that are gone. */
  pruneNetworks(isMeant: (network: Network) => boolean): Promise<readonly string[]>;
  connectNetwork(network: string, container: string, as: Omit<NetworkAttachment, 'network'>): Promise<void>;
  disconnectNetwork(network: string, container: string, options: { readonly force: boolean }): Promise<void>;
  createVolume(wanted: NewVolume): Promise<Volume>;
  /** By name; in use is one that a container has, running or not. */
  listVolumes(): Promise<readonly { readonly volume: Volume; readonly isUsed: boolean }[]>;
  inspectVolume(name: string): Promise<Volume>;
  removeVolume(name: string, options: { readonly force: boolean }): Promise<void>;
  pruneVolumes(isMeant: (volume: Volume) => boolean, options: { readonly all: boolean }): Promise<PrunedVolumes>;
  /** By name or ID; a path may be anything. */
  isContainer(nameOrId: string): Promise<boolean>;
  /** `destination`: a path, or a descriptor that gets a tar. */
  copyOut(nameOrId: string, path: string, destination: string | number, options: CopyOptions): Promise<WrittenFiles>;
  /** `source`: a path, or a descriptor that a tar is read from. */
  copyIn(nameOrId: string, source: string | number, path: string, options: CopyOptions): Promise<WrittenFiles>;
  /** `output`: a path, or a descriptor. */
  exportContainer(nameOrId: string, output: string | number): Promise<void>;
  commitContainer(nameOrId: string, options: CommitOptions): Promise<Image>;
  checkStore(): Promise<StoreCheck>;
  listUsage(): Promise<readonly UsageItem[]>;
  prune(options: PruneOptions): Promise<Pruned>;
  pruneRemote(address: CacheAddress, options: RemotePruneOptions, signal: AbortSignal): Promise<RemotePruned>;
  describeStore(): Promise<StoreInfo>;
}
