// What a registry's 401 asks for (RFC 9110 section 11.6.1; distribution: docs/spec/auth/token.md). Pure.

export interface BearerChallenge {
  readonly scheme: 'bearer';
  readonly realm: string;
  readonly service: string | undefined;
  readonly scope: string | undefined;
}

export type Challenge = { readonly scheme: 'basic' } | BearerChallenge;

/** Bearer goes before Basic where both are offered. Undefined: neither is, or nobody can tell. */
export function parseChallenge(header: string | undefined): Challenge | undefined {
  const offers = splitOffers(header ?? '');
  const bearer = offers.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'));
  if (bearer) {
    const { parameters } = bearer;
    return {
      scheme: 'bearer',
      realm: parameters.get('realm') as string,
      service: parameters.get('service'),
      scope: parameters.get('scope'),
    };
  }
  return offers.some(({ scheme }) => scheme === 'basic') ? { scheme: 'basic' } : undefined;
}

interface Offer {
  readonly scheme: string;
  readonly parameters: Map<string, string>;
}

/** `Bearer realm="…",service="…", Basic realm="…"`: a word that no `=` follows begins another offer. */
function splitOffers(header: string): Offer[] {
  const offers: Offer[] = [];
  const words = /([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?/g;
  for (const [, word = '', quoted, plain] of header.matchAll(words)) {
    const value = quoted?.replace(/\\(.)/g, '$1') ?? plain;
    if (value === undefined) offers.push({ scheme: word.toLowerCase(), parameters: new Map() });
    else offers.at(-1)?.parameters.set(word.toLowerCase(), value);
  }
  return offers;
}
