// How build's many flags stand in its help: by what they are about. Those that nobody put anywhere come last.

import type { HelpGroups } from './help.ts';

export const buildGroups: HelpGroups = {
  'What to build': ['file', 'target', 'platform', 'build-arg', 'build-context', 'context-modes', 'label', 'annotation'],
  'Where it goes': [
    'tag',
    'output',
    'on-failure',
    'load',
    'push',
    'iidfile',
    'metadata-file',
    'attest',
    'provenance',
    'sbom',
    'quiet',
    'progress',
  ],
  'What RUN gets': [
    'secret',
    'ssh',
    'network',
    'add-host',
    'allow',
    'shm-size',
    'ulimit',
    'userns',
    'runtime',
    'resource',
    'cgroup-parent',
  ],
  'What is done again': ['cache-from', 'cache-to', 'no-cache', 'no-cache-filter', 'trace', 'pull', 'frozen', 'reproducible'],
  'Instead of building': ['check', 'call'],
};

export const buildExamples: readonly (readonly [command: string, what: string])[] = [
  ['tbuild -t app .', 'an image in the store, for tbuild run app'],
  ['tbuild -t ghcr.io/org/app --push .', 'and in a registry'],
  ['tbuild -o out .', 'its files in a directory; -o - writes a tar to stdout'],
  ['tbuild -o type=oci,dest=app.tar .', 'an archive for other tools; type=docker for docker load'],
];
