// Package URLs (purl-spec, ECMA-427): `type/namespace/name@version?qualifiers`. Pure.

export interface PurlParts {
  /** Segments are separated by slashes. */
  readonly namespace?: string | undefined;
  readonly name: string;
  readonly version?: string | undefined;
  /** Undefined and empty ones are left out. */
  readonly qualifiers?: Readonly<Record<string, string | undefined>>;
}

export function packageUrl(type: string, { namespace = '', name, version, qualifiers = {} }: PurlParts): string {
  const segments = [...namespace.split('/'), name].filter((segment) => segment !== '').map(encode);
  const said = Object.entries(qualifiers)
    .filter((pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== '')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${encode(value)}`);
  return `pkg:${type}/${segments.join('/')}${version ? `@${encode(version)}` : ''}${said.length > 0 ? `?${said.join('&')}` : ''}`;
}

/** Everything but letters, digits, `.-_~` and the colon, which stays as it is everywhere. */
function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replaceAll(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%3A', ':');
}
