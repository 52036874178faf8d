// Where an image's registry is: hosts to ask, in order, and how far each is to be believed.

import { hostOf, isLoopback } from '../http/proxy.ts';
import type { Reference } from '../oci/reference.ts';

export interface Endpoint {
  /** As users call it, and as credentials and certificates are kept under: `docker.io`, `localhost:5000`. */
  readonly registry: string;
  /** What is connected to. */
  readonly host: string;
  /** The repository's path there. */
  readonly path: string;
  /** Certificates that nobody vouches for will do, and where there is no TLS, http. */
  readonly isInsecure: boolean;
  readonly isMirror: boolean;
}

/** Docker Hub's registry answers under another name than it is called by. */
const HUB = 'registry-1.docker.io';

export function endpointsOf({ domain, path }: Reference): Endpoint[] {
  const host = domain === 'docker.io' ? HUB : domain;
  return [{ registry: domain, host, path, isInsecure: isLocal(host), isMirror: false }];
}

/** Docker trusts 127.0.0.0/8 without TLS. */
function isLocal(host: string): boolean {
  return URL.canParse(`http://${host}`) && isLoopback(hostOf(new URL(`http://${host}`)));
}
