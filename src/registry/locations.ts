// What `cp` copies from and to, by skopeo's names of transports (containers-transports(5)). Reads the words alone.

import { TbuildError } from '../base/errors.ts';
import { normalizeName, parseReference, type Reference, withDefaultTag } from '../oci/reference.ts';

export type Location =
  | { readonly kind: 'registry'; readonly reference: Reference }
  /** An OCI layout: `tag` is what its index calls the image. */
  | { readonly kind: 'folder' | 'archive'; readonly path: string; readonly tag: string | undefined }
  /** An archive for docker: `name` in full. */
  | { readonly kind: 'docker-archive'; readonly path: string; readonly name: string | undefined }
  /** The image of that name, in full, of the Docker or podman that is running. */
  | { readonly kind: 'engine'; readonly name: string };

export type LayoutLocation = Extract<Location, { kind: 'folder' | 'archive' }>;

/** Without a transport it is an image of a registry. */
export function parseLocation(text: string): Location {
  const [, transport, rest = ''] =
    /^(oci|oci-archive|docker-archive|docker-daemon|containers-storage|dir|ostree|sif):(.*)$/s.exec(text) ?? [];
  switch (transport) {
    case undefined:
      return { kind: 'registry', reference: withDefaultTag(parseReference(text.replace(/^docker:\/\//, ''))) };
    case 'oci':
    case 'oci-archive': {
      const [, path = '', tag] = /^(.*?)(?::([^:/]+))?$/s.exec(rest) ?? [];
      return { kind: transport === 'oci' ? 'folder' : 'archive', path: named(path, text), tag };
    }
    case 'docker-archive': {
      const [, path = '', name] = /^([^:]*)(?::(.*))?$/s.exec(rest) ?? [];
      return { kind: 'docker-archive', path: named(path, text), name: name === undefined ? undefined : normalizeName(name) };
    }
    case 'docker-daemon':
      return { kind: 'engine', name: normalizeName(named(rest, text)) };
    default:
      throw new TbuildError(
        'unsupported/transport',
        `${transport}: is not copied to or from: registries, oci:, oci-archive:, docker-archive: and docker-daemon: are`,
      );
  }
}

function named(path: string, text: string): string {
  if (path !== '') return path;
  throw new TbuildError('usage/bad-value', `${text} names nothing`);
}
