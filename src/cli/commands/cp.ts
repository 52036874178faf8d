// `tbuild cp`: files into a container and out of it; an image from a registry or a layout to another, without the store; files of a RUN that failed, or
// of a step.

import { TbuildError } from '../../base/errors.ts';
import { defineCommand, type Invocation } from '../command.ts';
import type { FlagTable } from '../flags.ts';
import { interruptible } from '../interruption.ts';
import { oneLine } from '../text.ts';
import { formatSize } from '../units.ts';
import { parsePlatformFlag, platformFlag } from '../values/platform.ts';

/** No image is named so: a tag does not begin with a slash, and a path does. */
const INSIDE = /^(fail|step:.+?):(\/.*)$/;

const flags = {
  all: { help: 'Copy all images, where there are several, and not that for this machine alone' },
  archive: { short: 'a', help: 'Archive mode (copy all uid/gid information); of images the same as --all' },
  'follow-link': { short: 'L', help: 'Always follow symbol link in SRC_PATH' },
  platform: platformFlag,
  quiet: { short: 'q', help: 'Suppress output' },
} as const satisfies FlagTable;

export const cp = defineCommand({
  name: 'cp',
  usage:
    '[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n        tbuild cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH\n        tbuild cp fail:PATH|step:STEP:PATH DESTINATION\n        tbuild cp [OPTIONS] IMAGE IMAGE',
  description:
    'Copy files between a container and this machine ("-": a tar from or to the standard streams), or an image between registries, layouts and archives (NAME or docker://NAME, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], docker-daemon:NAME)',
  positionals: [2, 2],
  flags,
  examples: [
    ['tbuild cp web:/etc/nginx ./conf', 'a directory of a container'],
    ['tbuild cp fail:/app/reports .', 'what the last RUN that failed left there'],
  ],
  run: async (invocation) => {
    const { flags, positionals, library, stdout } = invocation;
    const [source, destination] = positionals as [string, string];
    const [, at, path] = INSIDE.exec(source) ?? [];
    if (at !== undefined && path !== undefined) {
      await interruptible((signal) => library.takeOut({ at, path, destination, signal }));
      return 0;
    }
    const [from, to] = [await containerPath(source, library), await containerPath(destination, library)];
    if (from || to) return copyFiles(invocation, from, to);
    const platform = parsePlatformFlag(flags.platform);
    const { digest, size } = await interruptible((signal) =>
      library.copyImage(source, destination, {
        isAll: flags.all || flags.archive,
        signal,
        ...(platform && { platform }),
      }),
    );
    if (!flags.quiet) stdout.write(`${destination}: digest: ${digest} size: ${size}\n`);
    return 0;
  },
});

interface ContainerPath {
  readonly container: string;
  readonly path: string;
}

const TRANSPORT = /^(docker|oci|oci-archive|docker-archive|docker-daemon|dir|containers-storage)$/;

/** `NAME:/path`, or of a container that is there `NAME:path`, where that is no tag. A name with a slash or a dot before it is a path. */
async function containerPath(text: string, library: Invocation<FlagTable>['library']): Promise<ContainerPath | undefined> {
  const [, container, path] = /^\/?([a-zA-Z0-9][\w.-]*):(.*)$/s.exec(text) ?? [];
  // `host:5000/name` is a registry's.
  if (container === undefined || path === undefined || TRANSPORT.test(container) || /^\d+\//.test(path)) return undefined;
  const isPath = path.startsWith('/') || path === '.';
  if (isPath || (!/^\w[\w.-]{0,127}$/.test(path) && (await library.isContainer(container))))
    return { container, path: path === '' ? '/' : path };
  return undefined;
}

async function copyFiles(
  { flags: given, positionals, library, stdout, stderr }: Invocation<typeof flags>,
  from: ContainerPath | undefined,
  to: ContainerPath | undefined,
): Promise<number> {
  const [source, destination] = positionals as [string, string];
  if (from && to) throw new TbuildError('usage/copy', 'copying between containers is not supported');
  const options = { followsLink: given['follow-link'], isArchive: given.archive };
  const { bytes, skipped } = from
    ? await library.copyOut(from.container, from.path, destination === '-' ? 1 : destination, options)
    : await library.copyIn(to!.container, source === '-' ? 0 : source, to!.path, options);
  if (skipped.length > 0) {
    const others = skipped.length > 1 ? ` and ${skipped.length - 1} more` : '';
    stderr.write(`left out, for they are devices: ${oneLine(skipped[0]!)}${others}\n`);
  }
  // Docker shows it at a terminal only.
  if (!given.quiet && stdout.isTTY && destination !== '-')
    stderr.write(`Successfully copied ${formatSize(bytes)} to ${destination}\n`);
  return 0;
}
