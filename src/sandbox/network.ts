// Which network a container is on. Root's are on the host's by default, until there are networks; those of an account that is not root
// have one of their own by default, through pasta or slirp4netns, and the host's where neither can be had (with-root finds out, and says it).

/** What is asked for; this is what a step's key has. */
export type NetworkMode = 'default' | 'host' | 'none';

/** `own`: with-root makes one; the configuration says nothing of it. `none`: a new one with only a loopback. */
export type Network = 'host' | 'none' | 'own';

export function networkOf(mode: NetworkMode, isRoot: boolean): Network {
  if (mode !== 'default') return mode;
  return isRoot ? 'host' : 'own';
}

/** `why`: in words of with-root's. */
export function onHostNetwork(why: string): string {
  return `network: the host's, and what listens on its loopback can be reached (${why}; --network=none has none)`;
}
