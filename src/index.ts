// The library's face: what the command does, a TypeScript program can do through here.

import { fetchLater } from './cache/fetch-later.ts';
import { openWorkplace as openPlace, type Workplace } from './snapshots/workplace.ts';

export type { ErrorObject } from './base/error-object.ts';
export { TbuildError } from './base/errors.ts';
export { type BuildOptions, type BuildResult, buildImage } from './build/build.ts';
export { type DryRunOptions, type DryStep, dryRun } from './build/dry-run.ts';
export type { BuildEvent } from './build/events.ts';
export { allBuilds, buildLog, findBuild, removeBuilds } from './build/history/builds.ts';
export { diffTrees } from './build/history/diff.ts';
export { findSteps, type StepDetails, stepDetails } from './build/history/steps.ts';
export { checkBuild, listTargets, outlineBuild } from './build/inspect.ts';
export { type LockOptions, type LockResult, lockBuild } from './build/lock/lock.ts';
export type { BuildOutput } from './build/outputs/export.ts';
export type { BuildRecord } from './cache/builds.ts';
export { type Container, Containers } from './containers/containers.ts';
export type { CreateOptions } from './containers/create-options.ts';
export { type RunOptions, type RunResult, runContainer } from './containers/run.ts';
export type { ContainerSpec } from './containers/spec.ts';
export type { ContainerState } from './containers/state.ts';
export { imageHistory, inspectImage } from './images/describe.ts';
export { checkStore } from './images/fsck.ts';
export type { Image } from './images/image.ts';
export { type ImportOptions, importImage } from './images/import.ts';
export { loadImages } from './images/load.ts';
export { saveImages } from './images/save.ts';
export { Images } from './images/store.ts';
export { type CopyImageOptions, copyImage } from './registry/copy-image.ts';
export { type CombineOptions, combineRemote, inspectRemote, type RemoteManifest } from './registry/image-tools.ts';
export { type PullEvent, type PullOptions, pullImages } from './registry/pull.ts';
export { type PushEvent, type PushOptions, pushImages } from './registry/push.ts';
export type { Workplace } from './snapshots/workplace.ts';

/** `root`: where the store is; undefined: the default place. */
export const openWorkplace = (root?: string): Promise<Workplace> => openPlace(root, fetchLater());
