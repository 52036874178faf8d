// Opens remote caches by their addresses. Each kind is loaded when one of it is opened.

import type { CacheAddress } from '../../snapshots/absent-data.ts';
import type { Backend } from './backend.ts';
import type { RegistryOptions } from './registry.ts';

export async function openBackend(address: CacheAddress, options: RegistryOptions): Promise<Backend> {
  switch (address.type) {
    case 'local':
      return (await import('./local.ts')).openLocal(address);
    case 'registry':
      return (await import('./registry.ts')).openRegistry(address, options);
    case 's3':
      return (await import('./s3.ts')).openS3(address, options.signal);
    case 'gha':
      return (await import('./gha.ts')).openGha(address, options.signal);
  }
}
