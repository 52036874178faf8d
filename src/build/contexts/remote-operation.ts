// A context that a URL names, as the step that ADD would make of it. Asks nobody.

import { assert } from '../../base/errors.ts';
import { parseGitContext } from '../../context/git/url.ts';
import { redactUrl } from '../../http/url.ts';
import type { RemoteOperation } from '../../plan/graph.ts';

export interface RemoteArgument {
  readonly kind: 'git' | 'http';
  readonly url: string;
}

/** What the one file from a URL is called (BuildKit: DetectHTTPContext). */
export const CONTEXT_FILE = 'context';

export function operationOf({ kind, url }: RemoteArgument, keepGitDir: boolean): RemoteOperation {
  if (kind === 'http') return { kind, url, name: CONTEXT_FILE, checksum: undefined };
  const source = parseGitContext(url);
  assert(source !== undefined, `${redactUrl(url)} was taken for a git repository`);
  return { kind, source: { ...source, keepGitDir: source.keepGitDir || keepGitDir } };
}
