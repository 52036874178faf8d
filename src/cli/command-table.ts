// The commands there are. Names and summaries only: a command's module is loaded when it is called.

import type { CommandEntry } from './command.ts';

/** In the order of the help. */
export const commandTable: Readonly<Record<string, CommandEntry>> = {
  build: { summary: 'Build an image from a Dockerfile', load: async () => (await import('./commands/build.ts')).build },
  why: { summary: 'Show why steps were executed, or would be', load: async () => (await import('./commands/why.ts')).why },
  builds: {
    summary: 'List builds, what came of them, their logs',
    load: async () => (await import('./commands/builds.ts')).builds,
  },
  diff: {
    summary: 'Show what a container changed, or between images',
    load: async () => (await import('./commands/diff.ts')).diff,
  },
  run: { summary: 'Create and run a new container from an image', load: async () => (await import('./commands/run.ts')).run },
  ps: { summary: 'List containers', load: async () => (await import('./commands/ps.ts')).ps },
  logs: { summary: 'Fetch the logs of a container', load: async () => (await import('./commands/logs.ts')).logs },
  top: { summary: 'Display the running processes of a container', load: async () => (await import('./commands/top.ts')).top },
  stats: {
    summary: 'Display a live stream of container(s) resource usage statistics',
    load: async () => (await import('./commands/stats.ts')).stats,
  },
  network: { summary: 'Manage networks', load: async () => (await import('./commands/network.ts')).network },
  events: { summary: 'Get real time events from the store', load: async () => (await import('./commands/events.ts')).events },
  volume: { summary: 'Manage volumes', load: async () => (await import('./commands/volume.ts')).volume },
  commit: {
    summary: "Create a new image from a container's changes",
    load: async () => (await import('./commands/commit.ts')).commit,
  },
  export: {
    summary: "Export a container's filesystem as a tar archive",
    load: async () => (await import('./commands/export.ts')).exportCommand,
  },
  create: { summary: 'Create a new container', load: async () => (await import('./commands/create.ts')).create },
  start: { summary: 'Start one or more stopped containers', load: async () => (await import('./commands/start.ts')).start },
  stop: { summary: 'Stop one or more running containers', load: async () => (await import('./commands/stop.ts')).stop },
  restart: { summary: 'Restart one or more containers', load: async () => (await import('./commands/restart.ts')).restart },
  kill: { summary: 'Kill one or more running containers', load: async () => (await import('./commands/kill.ts')).kill },
  pause: {
    summary: 'Pause all processes within one or more containers',
    load: async () => (await import('./commands/pause.ts')).pause,
  },
  unpause: {
    summary: 'Unpause all processes within one or more containers',
    load: async () => (await import('./commands/pause.ts')).unpause,
  },
  wait: {
    summary: 'Block until containers stop, then print their exit codes',
    load: async () => (await import('./commands/wait.ts')).wait,
  },
  attach: { summary: 'Attach to a running container', load: async () => (await import('./commands/attach.ts')).attach },
  exec: { summary: 'Execute a command in a running container', load: async () => (await import('./commands/exec.ts')).exec },
  port: {
    summary: 'List port mappings or a specific mapping for the container',
    load: async () => (await import('./commands/port.ts')).port,
  },
  rename: { summary: 'Rename a container', load: async () => (await import('./commands/rename.ts')).rename },
  rm: { summary: 'Remove one or more containers', load: async () => (await import('./commands/rm.ts')).rm },
  update: {
    summary: 'Update configuration of one or more containers',
    load: async () => (await import('./commands/update.ts')).update,
  },
  shell: { summary: 'Open a shell where the last RUN failed', load: async () => (await import('./commands/shell.ts')).shell },
  lock: {
    summary: 'Write down what the names in a Dockerfile stand for',
    load: async () => (await import('./commands/lock.ts')).lock,
  },
  images: { summary: 'List images', load: async () => (await import('./commands/images.ts')).images },
  inspect: {
    summary: 'Return low-level information on what the store has',
    load: async () => (await import('./commands/inspect.ts')).inspect,
  },
  history: { summary: 'Show the history of an image', load: async () => (await import('./commands/history.ts')).history },
  tag: {
    summary: 'Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE',
    load: async () => (await import('./commands/tag.ts')).tag,
  },
  rmi: { summary: 'Remove one or more images', load: async () => (await import('./commands/rmi.ts')).rmi },
  pull: { summary: 'Download an image from a registry', load: async () => (await import('./commands/pull.ts')).pull },
  push: { summary: 'Upload an image to a registry', load: async () => (await import('./commands/push.ts')).push },
  search: { summary: 'Search for images', load: async () => (await import('./commands/search.ts')).search },
  cp: {
    summary: 'Copy files from and to containers, or images',
    load: async () => (await import('./commands/cp.ts')).cp,
  },
  imagetools: {
    summary: 'Show and combine what is in registries',
    load: async () => (await import('./commands/imagetools.ts')).imagetools,
  },
  manifest: {
    summary: "Show an image's manifest in its registry",
    load: async () => (await import('./commands/imagetools.ts')).manifest,
  },
  login: { summary: 'Log in to a registry', load: async () => (await import('./commands/login.ts')).login },
  logout: { summary: 'Log out from a registry', load: async () => (await import('./commands/logout.ts')).logout },
  load: {
    summary: 'Load images from a tar archive, an OCI layout or STDIN',
    load: async () => (await import('./commands/load.ts')).load,
  },
  import: {
    summary: 'Make an image of a tar of files',
    load: async () => (await import('./commands/import.ts')).importCommand,
  },
  save: { summary: 'Save one or more images to a tar archive', load: async () => (await import('./commands/save.ts')).save },
  sbom: {
    summary: 'List the packages of an image, as a software bill of materials',
    load: async () => (await import('./commands/sbom.ts')).sbom,
  },
  verify: {
    summary: 'Execute every RUN of a build again, and compare',
    load: async () => (await import('./commands/verify.ts')).verify,
  },
  du: { summary: 'Show how much room the build cache takes', load: async () => (await import('./commands/du.ts')).du },
  prune: { summary: 'Remove the build cache', load: async () => (await import('./commands/prune.ts')).prune },
  fsck: { summary: 'Check the store', load: async () => (await import('./commands/fsck.ts')).fsck },
  parse: { summary: 'Show how a Dockerfile is read', load: async () => (await import('./commands/parse.ts')).parse },
  container: {
    summary: 'Manage containers',
    load: async () => (await import('./commands/groups.ts')).containerGroup(commandTable),
  },
  image: {
    summary: 'Manage images',
    load: async () => (await import('./commands/groups.ts')).imageGroup(commandTable),
  },
  builder: {
    summary: 'Manage builds',
    load: async () => (await import('./commands/groups.ts')).builderGroup(commandTable),
  },
  system: {
    summary: 'Manage the store',
    load: async () => (await import('./commands/groups.ts')).systemGroup(commandTable),
  },
  info: {
    summary: 'Display information about the store and the machine',
    load: async () => (await import('./commands/info.ts')).info,
  },
  version: { summary: 'Show the version', load: async () => (await import('./commands/version.ts')).version },
};

/** Other names, for fingers that are used to them. */
export const aliases: Readonly<Record<string, string>> = { ls: 'images' };
