// URLs as people may read them, and where a redirect may lead. Pure.

/** Without user, password and parameters: for people to read. */
export function redactUrl(url: string): string {
  return url.replace(/^([a-z0-9+.-]+:\/\/)[^/]*@/i, '$1').replace(/[?#].*$/s, '');
}

export const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status);

/** `refuse` makes the error of a place that nobody is to be sent to: no http URL, or http from https. */
export function redirectTarget(from: URL, location: string, refuse: (why: string) => Error): URL {
  const next = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (next?.protocol !== 'https:' && next?.protocol !== 'http:') throw refuse('redirected to what is no http URL');
  if (from.protocol === 'https:' && next.protocol === 'http:') {
    throw refuse(`redirected from https to http: ${redactUrl(next.href)}`);
  }
  return next;
}
