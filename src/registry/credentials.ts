// Who a user is to a registry: as `docker login` and `podman login` left it, in a file or with a credential helper. The first file that knows counts; in
// each a helper goes before what the file itself holds.

import { existsSync } from 'node:fs';
import { TbuildError } from '../base/errors.ts';
import {
  type Credentials,
  credentialFiles,
  helperFor,
  readCredentialFile,
  serverOf,
  storedCredentials,
} from './credential-file.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Undefined credentials: none are known. A helper that does not work is no reason not to try without: many images are everybody's. */
export interface FoundCredentials {
  readonly credentials: Credentials | undefined;
  readonly problem?: TbuildError;
}

/** `name`: registry and repository, `quay.io/org/app`: podman's files may have an entry for a part of a registry. */
export async function findCredentials(name: string, env: Environment, signal: AbortSignal): Promise<FoundCredentials> {
  let problem: TbuildError | undefined;
  for (const path of credentialFiles(env).filter((file) => existsSync(file))) {
    const file = readCredentialFile(path);
    const [registry = ''] = name.split('/', 1);
    const helped = await askHelper(helperFor(file, registry), registry, env, signal);
    problem ??= helped.problem;
    const credentials = helped.credentials ?? storedCredentials(file, name);
    if (credentials) return { credentials };
  }
  return { credentials: undefined, ...(problem && { problem }) };
}

async function askHelper(
  helper: string | undefined,
  registry: string,
  env: Environment,
  signal: AbortSignal,
): Promise<FoundCredentials> {
  if (helper === undefined) return { credentials: undefined };
  const { getFromHelper } = await import('./credential-helper.ts');
  try {
    return { credentials: await getFromHelper(helper, serverOf(registry), env, signal) };
  } catch (error) {
    if (error instanceof TbuildError) return { credentials: undefined, problem: error };
    throw error;
  }
}
