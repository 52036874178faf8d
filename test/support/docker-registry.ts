// The registry of Debian's package docker-registry beside which our own faulty one is held. Ends with the file's tests.

import { afterAll } from 'vitest';
import { type DockerRegistryOptions, type RegistryProcess, startRegistryProcess } from './registry-process.ts';

export type DockerRegistry = Omit<RegistryProcess, 'end'>;

// Not where one is started: a hook that is registered within another never runs.
const started: RegistryProcess[] = [];
afterAll(async () => {
  for (const { end } of started) await end();
});

export async function startDockerRegistry(options?: DockerRegistryOptions): Promise<DockerRegistry> {
  const registry = await startRegistryProcess(options);
  started.push(registry);
  return registry;
}
