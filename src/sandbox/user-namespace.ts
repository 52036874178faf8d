// Whose ids a container has: its own, so that its root is nobody on this machine, or the host's. Which ids they are is said here only.

export type UserNamespace = 'private' | 'host';

/** The upper half of all ids: any that an image may have is somebody in it (the probe of tbuild-runner tries these). */
export const MAPPED_IDS = { first: 2 ** 31, count: 2 ** 31 - 2 } as const;

/** For config.json. */
export const ID_MAPPINGS = [{ containerID: 0, hostID: MAPPED_IDS.first, size: MAPPED_IDS.count }] as const;

/** What a mount's options need for the host's files to have the container's owners: `all`, what is mounted below, too. */
export function idmapOptions(userns: UserNamespace, all = false): string[] {
  return userns === 'host' ? [] : [all ? 'ridmap' : 'idmap'];
}

/** `why`: an account that is not root has none but its own. */
export function whatOneIdMeans(why: string): string {
  return (
    `only this account's own (${why}): in containers every file and process is root's; chown to others, USER, ` +
    'programs that change their user (apt, su, setuid files of others) fail'
  );
}
