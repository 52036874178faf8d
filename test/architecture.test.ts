// The floors of src: an import goes down, or stays on its floor without ever coming back; only src/cli prints. The table is ARCHITECTURE.md's.
// Reads the sources as text and runs none of them. Imports of types count too: they tie modules together just as well.
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

const floors: Readonly<Record<string, number>> = {
  cli: 7,
  build: 6,
  containers: 6,
  solve: 5,
  steps: 4,
  upkeep: 4,
  images: 3,
  registry: 3,
  cache: 3,
  sbom: 3,
  plan: 2,
  snapshots: 2,
  sandbox: 2,
  dockerfile: 1,
  context: 1,
  oci: 1,
  base: 0,
  http: 0,
  native: 0,
};
/** The library's face, which the command line too may look at: just under it. */
const face = 'index.ts';
const faceFloor = 6.5;

/** Path below src → text. */
type Sources = ReadonlyMap<string, string>;
type Edges = ReadonlyMap<string, readonly string[]>;

describe('src', () => {
  const sources = readSources(path.join(import.meta.dirname, '../src'));

  test('has files, and only in the folders of the table', () => {
    expect(sources.size).toBeGreaterThan(20);
    expect(strays(sources)).toEqual([]);
  });

  test('imports go down', () => {
    expect(upwardImports(sources)).toEqual([]);
  });

  test('no file imports itself over others', () => {
    expect(findCycle(importsByFile(sources))).toBeUndefined();
  });

  test('no folder imports itself over others', () => {
    expect(findCycle(importsByFolder(sources))).toBeUndefined();
  });

  test('only src/cli prints', () => {
    const printing = [...sources].filter(
      ([file, text]) => folderOf(file) !== 'cli' && /\bconsole\.|\bprocess\.std(out|err)\b/.test(text),
    );
    expect(printing.map(([file]) => file)).toEqual([]);
  });
});

describe('these checks', () => {
  test('see every form of import', () => {
    const forms = [
      `import './a.ts';`,
      `import { x,\n  y } from "./b.ts";`,
      `import type { Z } from './c.ts';`,
      `export * from './d.ts';`,
      `export { x } from './e.ts';`,
      `const f = () => import('./f.ts');`,
      `type G = import('./g.ts').G;`,
      `import path from 'node:path';`,
    ];
    expect(importsOf('oci/x.ts', forms.join('\n'))).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => `oci/${name}.ts`));
  });

  test('do not take a comment or a text for an import', () => {
    expect(importsOf('oci/x.ts', `// import './a.ts';\n/* from './b.ts' */\nconst text = "it came from './c.ts'";`)).toEqual([]);
  });

  test('name an upward import', () => {
    const sources = new Map([['base/a.ts', `import '../cli/main.ts';`]]);
    expect(upwardImports(sources)).toEqual(['base/a.ts (floor 0) imports cli/main.ts (floor 7)']);
  });

  test('name a cycle by its chain', () => {
    const sources = new Map([
      ['base/a.ts', `import './b.ts';`],
      ['base/b.ts', `import '../native/c.ts';`],
      ['native/c.ts', `import '../base/a.ts';`],
    ]);
    expect(findCycle(importsByFile(sources))).toBe('base/a.ts → base/b.ts → native/c.ts → base/a.ts');
    expect(findCycle(importsByFolder(sources))).toBe('base → native → base');
  });

  test('find what stands outside the table', () => {
    expect(strays(new Map(['index.ts', 'loose.ts', 'utils/x.ts', 'oci/x.ts'].map((file) => [file, ''])))).toEqual([
      'loose.ts',
      'utils/x.ts',
    ]);
  });
});

function readSources(directory: string): Sources {
  const files = globSync('**/*.ts', { cwd: directory }).sort();
  return new Map(files.map((file) => [file, readFileSync(path.join(directory, file), 'utf8')]));
}

function folderOf(file: string): string {
  return file.includes('/') ? file.slice(0, file.indexOf('/')) : '';
}

function strays(sources: Sources): string[] {
  return [...sources.keys()].filter((file) => file !== face && !Object.hasOwn(floors, folderOf(file)));
}

/** The modules of ours that `text` imports; packages, Node's own modules and data (package.json) left out. */
function importsOf(file: string, text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const statements = /^\s*(?:import|export)\b(?:[^'"`;=]*?\bfrom)?\s*['"](\.[^'"]+\.ts)['"]/gm;
  const expressions = /\bimport\(\s*['"](\.[^'"]+\.ts)['"]/g;
  const named = [...code.matchAll(statements), ...code.matchAll(expressions)].map((match) => match[1]!);
  return named.map((name) => path.posix.join(path.posix.dirname(file), name));
}

function floorOf(file: string): number {
  return file === face ? faceFloor : (floors[folderOf(file)] ?? Number.NaN);
}

function upwardImports(sources: Sources): string[] {
  const describeEnd = (file: string) => `${file} (floor ${floorOf(file)})`;
  return [...importsByFile(sources)].flatMap(([file, imported]) =>
    imported
      .filter((other) => !(floorOf(other) <= floorOf(file)))
      .map((other) => `${describeEnd(file)} imports ${describeEnd(other)}`),
  );
}

function importsByFile(sources: Sources): Edges {
  return new Map([...sources].map(([file, text]) => [file, importsOf(file, text)]));
}

function importsByFolder(sources: Sources): Edges {
  const edges = new Map<string, Set<string>>();
  for (const [file, imported] of importsByFile(sources)) {
    const from = folderOf(file) || face;
    const others = imported.map((other) => folderOf(other) || face).filter((folder) => folder !== from);
    edges.set(from, new Set([...(edges.get(from) ?? []), ...others]));
  }
  return new Map([...edges].map(([folder, others]) => [folder, [...others]]));
}

/** The first cycle met, as `a → b → a`. */
function findCycle(edges: Edges): string | undefined {
  const done = new Set<string>();
  const visit = (node: string, trail: readonly string[]): string | undefined => {
    const start = trail.indexOf(node);
    if (start >= 0) return [...trail.slice(start), node].join(' → ');
    if (done.has(node)) return undefined;
    for (const next of edges.get(node) ?? []) {
      const cycle = visit(next, [...trail, node]);
      if (cycle !== undefined) return cycle;
    }
    done.add(node);
    return undefined;
  };
  for (const node of edges.keys()) {
    const cycle = visit(node, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}
