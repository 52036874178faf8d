// Bundles src into dist: the command (dist/tbuild.cjs) and the library (dist/index.cjs), one file each. What src imports dynamically is in
// the same file, but is evaluated only when it is used; together with Node's compile cache that is what keeps a cached build's start near that of
// bare Node. CommonJS, since resolving and linking two dozen ES modules costs more than reading them, and since importing one of Node's own
// modules reads every export once, and so loads what is behind lazy ones (fs/promises behind fs, webcrypto behind crypto).
// Blanks are left out, for every start hashes the file; names are kept, for stack traces. undici is larger than all the rest, and yaml seldom
// used: in files of their own they cost those who need them, and nobody else.
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
  logLevel: 'warning',
};

const apart: Plugin = {
  name: 'apart',
  setup: ({ onResolve }) => onResolve({ filter: /^(?:undici|yaml)$/ }, ({ path }) => ({ path: `./${path}.cjs`, external: true })),
};

await build({ ...options, entryPoints: { undici: 'undici', yaml: 'yaml' } });
await build({ ...options, entryPoints: { tbuild: 'src/cli/main.ts', index: 'src/index.ts' }, plugins: [apart] });
