// docs/security.md names tests: each exists, in the file that it names.
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const repository = path.join(import.meta.dirname, '..');
const read = (file: string) => readFileSync(path.join(repository, file), 'utf8');

/** `file.rs` one_test, another; `file.test.ts` "one", "another" */
function namedTests(): { file: string; name: string }[] {
  const table = read('docs/security.md').split('## Attacks')[1] ?? '';
  const cells = [...table.matchAll(/^\| [^|]+ \| ([^|]+) \|$/gm)].flatMap(([, cell = '']) => cell.split('; '));
  return cells.flatMap((cell) => {
    const [, file = '', names = ''] = /^`([^`]+)` (.*)$/.exec(cell.trim()) ?? [];
    const list = names.startsWith('"') ? [...names.matchAll(/"([^"]+)"/g)].map(([, name = '']) => name) : names.split(', ');
    return file === '' ? [] : list.map((name) => ({ file, name }));
  });
}

test('the tests that docs/security.md names exist', () => {
  const files = [
    ...globSync('runner-native/crates/*/{tests,src}/**/*.rs', { cwd: repository }),
    ...globSync('test/e2e/*.ts', { cwd: repository }),
  ];
  const named = namedTests();
  const missing = named.filter(({ file, name }) => {
    const text = files.filter((known) => path.basename(known) === file).map(read);
    const written = file.endsWith('.rs') ? `fn ${name}(` : `'${name}'`;
    return !text.some((one) => one.includes(written));
  });
  expect(missing).toEqual([]);
  expect(named.length).toBeGreaterThan(60);
});

test('what the compiler cannot check stands in one module', () => {
  const sources = globSync('runner-native/crates/*/src/**/*.rs', { cwd: repository });
  expect(sources.filter((file) => /\bunsafe\b/.test(read(file)))).toEqual(['runner-native/crates/runtime/src/sys.rs']);
  expect(read('runner-native/Cargo.toml')).toContain('unsafe_code = "deny"');
});
