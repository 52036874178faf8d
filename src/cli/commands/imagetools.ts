// `tbuild imagetools` and `tbuild manifest inspect`: what names stand for in registries, and indexes made of what is there.

import { readFileSync } from 'node:fs';
import { TbuildError } from '../../base/errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { asMembers, asString, parseJson } from '../../oci/document.ts';
import { formatPlatform, parsePlatform } from '../../oci/platform.ts';
import { familiarName, formatReference, parseReference } from '../../oci/reference.ts';
import type { RemoteManifest } from '../../registry/image-tools.ts';
import type { DetailsWanted } from '../../registry/remote-details.ts';
import { parseAnnotation } from '../annotations.ts';
import { defineCommand } from '../command.ts';
import { defineGroup } from '../command-group.ts';
import { interruptible } from '../interruption.ts';
import type { Library } from '../library/library.ts';
import { alignColumns } from '../lists/table.ts';
import { oneLine } from '../text.ts';
import { describeRemote, detailsFor, isManifestAlone, renderRemote } from '../values/remote-image.ts';

/** docker's `manifest inspect` is always the document itself. */
function inspectCommand(name: string, isRaw: boolean) {
  return defineCommand({
    name,
    usage: '[OPTIONS] NAME[:TAG|@DIGEST]',
    description: 'Show what an image is in its registry',
    positionals: [1, 1],
    flags: {
      raw: { help: 'Show the bytes of the manifest or index as they are' },
      format: { value: 'string', default: 'text', help: 'Format of the output ("text", "json", a Go template)' },
    },
    run: async ({ flags, positionals: [image], library, stdout }) => {
      const wanted = detailsFor(flags.format);
      const found = await interruptible((signal) => inspectOr(library, image!, signal, wanted));
      if (wanted && !isManifestAlone(flags.format)) stdout.write(`${await renderRemote(flags.format, found)}\n`);
      else if (flags.format === 'json') stdout.write(`${JSON.stringify(describeRemote(found), null, 2)}\n`);
      else if (flags.raw || isRaw) stdout.write(found.bytes);
      else stdout.write(textOf(found));
      return 0;
    },
  });
}

/** What is not in a registry may be in the store, which is not where buildx looks, but perhaps what was meant. */
async function inspectOr(
  library: Library,
  name: string,
  signal: AbortSignal,
  wanted: DetailsWanted | undefined,
): Promise<RemoteManifest> {
  try {
    return await library.inspectRemote(name, signal, wanted);
  } catch (error) {
    if (!(error instanceof TbuildError) || error.hint !== undefined || !(await isHere(library, name))) throw error;
    const { code, message, cause, details } = error;
    throw new TbuildError(code, message, { cause, details, hint: `it is in the store: tbuild inspect ${name}` });
  }
}

const isHere = (library: Library, name: string): Promise<boolean> =>
  library.inspectImage(name).then(
    () => true,
    () => false,
  );

function textOf({ name, place, descriptor, document, referrers }: RemoteManifest): string {
  const head = alignColumns(
    [
      ['Name:', name],
      ['MediaType:', descriptor.mediaType],
      ['Digest:', descriptor.digest],
    ],
    { padding: 1 },
  );
  const list = (title: string, entries: readonly Descriptor[]) =>
    `\n${title}:\n${entries.map((entry) => alignColumns(entryRows(place, entry), { padding: 1 })).join('\n')}`;
  const below = document.kind === 'index' ? list('Manifests', document.manifests) : '';
  return head + below + (referrers.length === 0 ? '' : list('Referrers', referrers));
}

function entryRows(place: string, { digest, mediaType, artifactType, platform, annotations = {} }: Descriptor): string[][] {
  const notes = Object.entries(annotations).map(([key, value]) => [`    ${key}:`, value]);
  return [
    ['  Name:', `${place}@${digest}`],
    ['  MediaType:', mediaType],
    ...(artifactType === undefined ? [] : [['  ArtifactType:', artifactType]]),
    ...(platform ? [['  Platform:', formatPlatform(platform)]] : []),
    ...(notes.length > 0 ? [['  Annotations:', ''], ...notes] : []),
  ];
}

const create = defineCommand({
  name: 'imagetools create',
  usage: '[OPTIONS] [SOURCE...]',
  description: 'Create a new image based on source images',
  positionals: [0, Number.POSITIVE_INFINITY],
  flags: {
    annotation: { value: 'stringArray', repeated: true, help: 'Add annotation to the index (format: "[index:]key=value")' },
    append: { help: 'Append to what has the tag already' },
    'dry-run': { help: 'Show the index instead of pushing it' },
    file: { short: 'f', value: 'stringArray', repeated: true, help: 'Read source descriptor from file' },
    platform: { value: 'stringArray', repeated: true, help: 'Take only what is for these platforms' },
    tag: { short: 't', value: 'stringArray', repeated: true, help: 'Set reference for new image' },
  },
  run: async ({ flags, positionals, library, stdout }) => {
    const sources = [...positionals, ...flags.file.map((file) => readSource(file, flags.tag))];
    if (sources.length === 0) throw new TbuildError('usage/arguments', 'tbuild imagetools create takes at least one source');
    if (flags.tag.length === 0 && (flags.append || !flags['dry-run'])) {
      throw new TbuildError('usage/missing-value', "can't push without tags: -t says what the image is to be called", {
        hint: '--dry-run shows it without pushing it',
      });
    }
    const combined = await interruptible((signal) =>
      library.combineRemote(sources, {
        signal,
        tags: flags.tag,
        append: flags.append,
        isDry: flags['dry-run'],
        annotations: indexAnnotations(flags.annotation),
        platforms: flags.platform.flatMap((text) => text.split(',')).map(parsePlatform),
      }),
    );
    if (flags['dry-run']) stdout.write(`${combined.bytes}\n`);
    else for (const name of combined.names) stdout.write(`${familiarName(name)}@${combined.digest}\n`);
    return 0;
  },
});

/** As buildx has it: nothing else of what is there can be annotated. */
function indexAnnotations(texts: readonly string[]): Record<string, string> {
  const parsed = texts.flatMap((text) => {
    const isPlain = !/^[a-z-]+(?:\[|:|,)/.test(text);
    return parseAnnotation(isPlain ? `index:${text}` : text);
  });
  for (const { on } of parsed) {
    if (on !== 'index')
      throw new TbuildError(
        'unsupported/annotation',
        `annotations of a ${on} would make it another: only the index can have some`,
      );
  }
  return Object.fromEntries(parsed.map(({ key, value }) => [key, value]));
}

/** A descriptor as `--metadata-file` of a build has it, or the name of an image. */
function readSource(file: string, tags: readonly string[]): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (cause) {
    throw new TbuildError('usage/unreadable-file', `cannot read ${oneLine(file)}: ${(cause as Error).message}`, { cause });
  }
  if (!text.startsWith('{')) return text;
  const digest = asString(asMembers(parseJson(Buffer.from(text), file), file).get('digest'), `${file}, digest`);
  const [tag] = tags;
  if (tag === undefined) throw new TbuildError('usage/missing-value', `${file} names no repository: -t says which`);
  const { domain, path } = parseReference(tag);
  return `${formatReference({ domain, path })}@${digest}`;
}

export const imagetools = defineGroup('imagetools', 'What images are in their registries', {
  create: { summary: 'Create a new image based on source images', command: create },
  inspect: { summary: 'Show what an image is in its registry', command: inspectCommand('imagetools inspect', false) },
});

export const manifest = defineGroup('manifest', 'What images are in their registries', {
  inspect: { summary: "Show an image's manifest, or its index", command: inspectCommand('manifest inspect', true) },
});
