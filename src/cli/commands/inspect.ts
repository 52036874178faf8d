// `inspect`, of whatever has the name, or of one kind of thing: docker's JSON array, or a line of a template for each. What is found is shown though
// something else is not.

import { exitCodeOf } from '../../base/error-object.ts';
import { TbuildError } from '../../base/errors.ts';
import type { Platform } from '../../oci/config.ts';
import { type Command, defineCommand } from '../command.ts';
import type { Library } from '../library/library.ts';
import { volumeDocument } from '../lists/volume-document.ts';
import { reportError } from '../report-error.ts';
import { parsePlatformFlag, platformFlag } from '../values/platform.ts';

interface Wanted {
  readonly hasSize: boolean;
  readonly platform: Platform | undefined;
}

type Look = (library: Library, name: string, wanted: Wanted) => Promise<object>;

/** In docker's order (cli/command/system/inspect.go): the first that has something of that name. */
const kinds = {
  container: (library, name, { hasSize }) => library.inspectContainer(name, { hasSize }),
  image: (library, name, { platform }) => library.inspectImage(name, platform),
  network: (library, name) => library.inspectNetwork(name),
  volume: async (library, name) => volumeDocument(await library.inspectVolume(name)),
} as const satisfies Readonly<Record<string, Look>>;

type Kind = keyof typeof kinds;

const formatFlag = {
  short: 'f',
  value: 'string',
  default: '',
  help: 'Format of the output: "json" (on one line), or a Go template for each (unset: indented JSON)',
} as const;
const sizeFlag = { short: 's', help: 'Display total file sizes if the type is container' } as const;

export const inspect = defineCommand({
  name: 'inspect',
  usage: '[OPTIONS] NAME|ID [NAME|ID...]',
  description: 'Return low-level information on containers, images, networks and volumes',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: {
    format: formatFlag,
    platform: platformFlag,
    size: sizeFlag,
    type: { value: 'string', choices: Object.keys(kinds), help: 'Only inspect objects of the given type' },
  },
  run: async ({ flags, positionals, ...surroundings }) => {
    const wanted = { hasSize: flags.size, platform: parsePlatformFlag(flags.platform) };
    const look = flags.type === undefined ? lookEverywhere : kinds[flags.type as Kind];
    return show(positionals, flags.format, surroundings, (name) => look(surroundings.library, name, wanted));
  },
});

export const inspectContainer: Command = defineCommand({
  name: 'container inspect',
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  description: 'Display detailed information on one or more containers',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: { format: formatFlag, size: { ...sizeFlag, help: 'Display total file sizes' } },
  run: async ({ flags, positionals, ...surroundings }) =>
    show(positionals, flags.format, surroundings, (name) => surroundings.library.inspectContainer(name, { hasSize: flags.size })),
});

export const inspectImage: Command = defineCommand({
  name: 'image inspect',
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  description: 'Display detailed information on one or more images',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: { format: formatFlag, platform: platformFlag },
  run: async ({ flags, positionals, ...surroundings }) => {
    const platform = parsePlatformFlag(flags.platform);
    return show(positionals, flags.format, surroundings, (name) => surroundings.library.inspectImage(name, platform));
  },
});

export const inspectNetwork: Command = defineCommand({
  name: 'network inspect',
  usage: '[OPTIONS] NETWORK [NETWORK...]',
  description: 'Display detailed information on one or more networks',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: { format: formatFlag, verbose: { short: 'v', help: 'Verbose output for diagnostics (there is no more to say)' } },
  run: async ({ flags, positionals, ...surroundings }) =>
    show(positionals, flags.format, surroundings, (name) => surroundings.library.inspectNetwork(name)),
});

export const inspectVolume: Command = defineCommand({
  name: 'volume inspect',
  usage: '[OPTIONS] VOLUME [VOLUME...]',
  description: 'Display detailed information on one or more volumes',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: { format: formatFlag },
  run: async ({ flags, positionals, ...surroundings }) =>
    show(positionals, flags.format, surroundings, async (name) => volumeDocument(await surroundings.library.inspectVolume(name))),
});

async function lookEverywhere(library: Library, name: string, wanted: Wanted): Promise<object> {
  let nearest: TbuildError | undefined;
  for (const look of Object.values(kinds)) {
    try {
      return await look(library, name, wanted);
    } catch (error) {
      if (!isAbsence(error)) throw error;
      // An image of nearly that name may be what was meant.
      nearest = error;
    }
  }
  throw new TbuildError('container/unknown', `no such object: ${name}`, { hint: nearest?.hint });
}

const isAbsence = (error: unknown): error is TbuildError =>
  error instanceof TbuildError && (/\/unknown$/.test(error.code) || error.code === 'image/bad-reference');

type Surroundings = Parameters<typeof reportError>[1] & { readonly stdout: { write(text: string): unknown } };

async function show(
  names: readonly string[],
  format: string,
  surroundings: Surroundings,
  look: (name: string) => Promise<object>,
): Promise<number> {
  const render = format === '' || format === 'json' ? undefined : await renderer(format);
  const found: (object | string)[] = [];
  const errors: unknown[] = [];
  for (const name of names) {
    try {
      const document = await look(name);
      found.push(render ? render(document) : document);
    } catch (error) {
      errors.push(error);
    }
  }
  const { stdout } = surroundings;
  if (render) stdout.write(found.length === 0 ? '\n' : found.map((line) => `${line}\n`).join(''));
  else stdout.write(`${JSON.stringify(found, null, format === 'json' ? 0 : 4)}\n`);
  for (const error of errors) reportError(error, surroundings);
  return errors.length === 0 ? 0 : exitCodeOf(errors[0]);
}

async function renderer(format: string): Promise<(document: object) => string> {
  const { parseTemplate } = await import('../lists/go-template.ts');
  const render = parseTemplate(format, { indent: 0 });
  return (document) => render(document as Readonly<Record<string, unknown>>);
}
