// Bundles src into dist: the command (dist/tbuild.js) and the library (dist/index.js), with their shared and on-demand parts as chunks.
// What src imports dynamically is loaded only when it is used; that is what keeps a cached build's start near that of bare Node.
import { rm } from 'node:fs/promises';
import { build, type Plugin } from 'esbuild';

/**
 * Node's own modules by `process.getBuiltinModule`: an `import` of one makes a facade that reads every export once, and so loads what is behind
 * lazy ones (fs/promises behind fs, webcrypto behind crypto), which costs each start some milliseconds.
 */
const lazyBuiltins: Plugin = {
  name: 'lazy-builtins',
  setup(builder) {
    builder.onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: 'builtin' }));
    builder.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)})`,
    }));
  },
};

await rm('dist/chunks', { recursive: true, force: true });
await build({
  entryPoints: { tbuild: 'src/cli/main.ts', index: 'src/index.ts' },
  outdir: 'dist',
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  // vscode-languageserver-types' "main" is UMD, which no bundler sees through.
  mainFields: ['module', 'main'],
  // CommonJS packages require Node's own modules; an ES module has no require of its own.
  banner: { js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);" },
  plugins: [lazyBuiltins],
  legalComments: 'none',
  logLevel: 'warning',
});
