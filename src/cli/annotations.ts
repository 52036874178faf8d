// `--annotation [type[platform]:]key=value` as buildx reads it, and `annotation-type[platform].key=value` of an output, as BuildKit does. Pure.

import { TbuildError } from '../base/errors.ts';
import type { Annotation } from '../build/outputs/image.ts';
import { formatPlatform, parsePlatform } from '../oci/platform.ts';
import { nearest } from './nearest.ts';

const types = ['manifest', 'manifest-descriptor', 'index', 'index-descriptor'] as const;

/** A comma list of types is an annotation for each. */
export function parseAnnotation(text: string): Annotation[] {
  const [, name = '', value] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
  if (value === undefined) throw bad(`invalid annotation "${text}", expected key=value`);
  const colon = name.indexOf(':');
  const key = name.slice(colon + 1);
  if (key === '') throw bad(`--annotation has an empty key in "${text}"`);
  if (colon < 0) return [{ on: 'manifest', key, value }];
  return name
    .slice(0, colon)
    .split(',')
    .map((target) => {
      const [, type, platform] = /^([a-z-]+)(?:\[([A-Za-z0-9_/-]+)\])?$/.exec(target) ?? [];
      if (type === undefined)
        throw bad(`invalid annotation type "${target}", expected type and optional platform in square brackets`);
      return makeAnnotation(type, platform, key, value);
    });
}

/** Undefined: the key of an output is none of an annotation. */
export function parseAnnotationKey(name: string, value: string): Annotation | undefined {
  const [, type = 'manifest', platform, key] = /^annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.(\S+)$/.exec(name) ?? [];
  return key === undefined ? undefined : makeAnnotation(type, platform, key, value);
}

function makeAnnotation(type: string, platform: string | undefined, key: string, value: string): Annotation {
  const on = types.find((known) => known === type);
  if (on === undefined) {
    const meant = nearest(type, types);
    throw bad(`unknown annotation type "${type}"`, meant ? `did you mean ${meant}?` : `it is one of ${types.join(', ')}`);
  }
  return { on, key, value, ...(platform !== undefined && { platform: formatPlatform(parsePlatform(platform)) }) };
}

function bad(message: string, hint?: string): TbuildError {
  return new TbuildError('usage/bad-value', message, { hint });
}
