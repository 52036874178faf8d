// docs/dependencies.md has a row for every direct dependency, and the lock files name no host.
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const repository = path.join(import.meta.dirname, '..');
const read = (file: string) => readFileSync(path.join(repository, file), 'utf8');

test('every npm package and crate has its row in docs/dependencies.md', () => {
  const documented = new Set([...read('docs/dependencies.md').matchAll(/`([^`]+)`/g)].map((match) => match[1]));
  const used = [...npmPackages(), ...crates()];
  expect(used).toContain('tar-stream');
  expect(used).toContain('rustix');
  expect(used.filter((name) => !documented.has(name))).toEqual([]);
});

test.each([
  'package-lock.json',
  ...globSync('fixtures/*/package-lock.json', { cwd: repository }),
])('%s names no registry', (file) => {
  expect(read(file).match(/"resolved": "[a-z]+:\/\/[^"]*"/g)).toBeNull();
});

function npmPackages(): string[] {
  const manifests = ['package.json', 'setup/toolchain/package.json'].map((file) => JSON.parse(read(file)));
  return manifests.flatMap((manifest) => [
    ...Object.keys(manifest.dependencies ?? {}),
    ...Object.keys(manifest.devDependencies ?? {}),
    ...Object.keys(manifest.optionalDependencies ?? {}),
  ]);
}

/** The keys of every section of dependencies, but our own crates. */
function crates(): string[] {
  const manifests = ['runner-native/Cargo.toml', ...globSync('runner-native/crates/*/Cargo.toml', { cwd: repository })];
  const sections = manifests
    .flatMap((file) => read(file).split(/^(?=\[)/m))
    .filter((section) => /^\[[^\]]*dependencies\]/.test(section));
  const names = sections.flatMap((section) =>
    [...section.matchAll(/^([A-Za-z0-9_-]+)(?:\.workspace)?\s*=/gm)].map((match) => match[1]!),
  );
  return [...new Set(names)].filter((name) => !name.startsWith('tbuild-'));
}
