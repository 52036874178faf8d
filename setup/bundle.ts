// Bundles src into dist: the command (dist/command.cjs) with what starts it (dist/tbuild.cjs, from src/cli/start.ts), and the library
// (dist/index.cjs). What src imports dynamically is in the same file, but is evaluated only when it is used. CommonJS, since resolving and linking
// two dozen ES modules costs more than reading them, and since importing one of Node's own modules reads every export once, and so loads
// what is behind lazy ones (fs/promises behind fs, webcrypto behind crypto). Blanks are left out, names are kept, for stack traces.
// undici is larger than all the rest, and yaml seldom used: in files of their own they cost those who need them, and nobody else.
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type BuildOptions, build, type Plugin } from 'esbuild';

const options: BuildOptions = {
  outdir: 'dist',
  outExtension: { '.js': '.cjs' },
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node24',
  define: { 'import.meta.filename': '__filename', 'import.meta.dirname': '__dirname' },
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  // import() becomes require(): in code that is not a file of its own Node warns of the former.
  supported: { 'dynamic-import': false },
  logLevel: 'warning',
};

const apart: Plugin = {
  name: 'apart',
  setup: ({ onResolve }) =>
    onResolve({ filter: /^(?:undici|yaml|smol-toml)$/ }, ({ path }) => ({ path: `./${path}.cjs`, external: true })),
};

await build({ ...options, entryPoints: { undici: 'undici', yaml: 'yaml', 'smol-toml': 'smol-toml' } });
await build({ ...options, entryPoints: { command: 'src/cli/main.ts', index: 'src/index.ts' }, plugins: [apart] });
const digest = hash('sha256', readFileSync('dist/command.cjs')).slice(0, 16);
const define = { ...options.define, BUNDLE_DIGEST: JSON.stringify(digest) };
await build({ ...options, define, entryPoints: { tbuild: 'src/cli/start.ts' } });
