// How this machine reaches its npm registry, as secrets for a RUN: the user's settings, and the authority that Node.js is told of.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { sh } from './measure.ts';

/** The beginning of a RUN that talks to the registry. */
export const NPM_MOUNTS =
  '--mount=type=secret,id=npmrc,target=/root/.npmrc --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt';

/** Flags of a build; what they name is written to `folder`. */
export function npmSecrets(folder: string): string {
  const settings = path.join(homedir(), '.npmrc');
  const registry = sh('npm config get registry 2>/dev/null').trim();
  const npmrc = path.join(folder, 'npmrc');
  writeFileSync(npmrc, `${existsSync(settings) ? readFileSync(settings, 'utf8') : ''}\nregistry=${registry}\n`, { mode: 0o600 });
  const authority = process.env.NODE_EXTRA_CA_CERTS;
  return `--secret id=npmrc,src=${npmrc}${authority ? ` --secret id=ca,src=${authority}` : ''}`;
}
