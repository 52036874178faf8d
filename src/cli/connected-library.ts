// The library as the commands call it, joined to the floors below. Each module is loaded by the first call that needs it.

import { TbuildError } from '../base/errors.ts';
import type { Library } from './library.ts';

/** The floors below are being written: until a module is there, what needs it says so. */
async function load<T>(path: string): Promise<T> {
  return import(path).catch((cause: unknown) => {
    throw new TbuildError('unsupported/not-connected', `${path} is not connected to the command line yet`, { cause });
  });
}

export const library: Library = {
  buildImage: async (options) => (await load<Library>('../build/build.ts')).buildImage(options),
  runContainer: async (options) => (await load<Library>('../containers/run.ts')).runContainer(options),
  listImages: async () => (await load<Library>('../images/store.ts')).listImages(),
  describeImage: async (name) => (await load<Library>('../images/store.ts')).describeImage(name),
  tagImage: async (source, target) => (await load<Library>('../images/store.ts')).tagImage(source, target),
  removeImage: async (name, options) => (await load<Library>('../images/store.ts')).removeImage(name, options),
  loadImages: async (options) => (await load<Library>('../images/load.ts')).loadImages(options),
  saveImages: async (options) => (await load<Library>('../images/save.ts')).saveImages(options),
  checkStore: async () => (await load<Library>('../images/fsck.ts')).checkStore(),
  describeStore: async () => (await load<Library>('../images/info.ts')).describeStore(),
};
