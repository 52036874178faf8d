// --trace=verify over random edits of real contexts: what would be reused for what it saw is executed again, and makes the same.

import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Random, random } from '../soundness/random.ts';
import { makeContext } from '../support/contexts.ts';
import { build } from '../support/events.ts';
import { freshStore } from '../support/stores.ts';
import { fixtures } from '../support/tbuild.ts';

const { SOUNDNESS_SEED: wanted = '1' } = process.env;
const seed = wanted === 'new' ? Date.now() % 1_000_000_000 : Number(wanted);

/** Commands of many habits, each with a result of its own. */
const commands = [
  'find . -type f | sort | xargs cat | sha1sum > /sum',
  'cp -a src /copy',
  'for file in src/*.txt; do wc -c < "$file"; done > /sizes',
  'if [ -e options ]; then cat options; fi > /options',
  "ls -l src | awk '{ print $1, $5, $9 }' > /long-list",
  'mv src/a.txt /moved; rm -rf src/deep',
  'chmod -R go-w . && grep -rl x . | sort > /found || true',
  'cat src/deep/*/c.txt > /deep; test -x run.sh && ./run.sh > /ran || true',
  'readlink link > /target; cat link > /linked; stat -c "%a %u %s" src/a.txt > /status || true',
];

const tree = {
  Dockerfile: ['FROM busybox', 'WORKDIR /app', 'COPY . .', ...commands.map((command) => `RUN ${command}`)].join('\n'),
  'src/a.txt': 'a\n',
  'src/b.txt': 'x\n',
  'src/deep/one/c.txt': 'c\n',
  'src/deep/two/c.txt': 'x\n',
  'run.sh': { text: '#!/bin/sh\necho ran\n', mode: 0o755 },
  link: { link: 'src/b.txt' },
  README: 'read me\n',
} as const;

let store: string;
beforeAll(() => {
  store = freshStore();
});

describe.for([
  ['commands of all kinds', () => makeContext(tree), 40],
  // With apt-get, as its own test has it.
  ['fixtures/hello-c', () => copyOf('hello-c'), 12],
] as const)('%s', ([name, open, edits]) => {
  it(`${edits} edits`, { timeout: 590_000 }, async () => {
    const context = open();
    const draw = random(seed);
    console.log(`${name}: seed ${seed}`);
    expect((await build([context], { store })).code).toBe(0);
    let verified = 0;
    for (let count = 0; count < edits; count++) {
      const whole = `${context}.whole`;
      cpSync(context, whole, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
      const edit = edited(context, draw);
      const { code, stderr, events } = await build(['--trace=verify', context], { store });
      if (code !== 0) {
        if (!isSaidBy(name, stderr)) expect(stderr, `seed ${seed}, ${edit}`).toBe('');
        // What does not compile would not with the next edit either.
        rmSync(context, { recursive: true });
        renameSync(whole, context);
      }
      rmSync(whole, { recursive: true, force: true });
      verified += events.filter((event) => event.type === 'status' && event.text.includes('made the same')).length;
    }
    console.log(`${name}: ${verified} results that would have been reused are equal`);
    expect(verified).toBeGreaterThan(edits / 4);
  });
});

/** A compiler that does not take an edit is no fault of what is tested here. */
const isSaidBy = (name: string, stderr: string): boolean => name.includes('hello') && !stderr.includes('not-reproducible');

function copyOf(fixture: string): string {
  const context = makeContext({});
  cpSync(path.join(fixtures, fixture), context, { recursive: true });
  return context;
}

function edited(context: string, draw: Random): string {
  const files = readdirSync(context, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'Dockerfile')
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
  const file = draw.pick(files);
  const fresh = path.join(path.dirname(file), `new-${draw.below(5)}.txt`);
  const edits: Readonly<Record<string, () => void>> = {
    edit: () => writeFileSync(file, `${readFileSync(file, 'utf8')}\n`),
    touch: () => utimesSync(file, draw.below(1e9), draw.below(1e9)),
    mode: () => chmodSync(file, draw.pick([0o644, 0o755, 0o600])),
    add: () => writeFileSync(fresh, draw.pick(['x\n', 'more\n', ''])),
    remove: () => (files.length > 3 ? rmSync(file) : undefined),
    rename: () => renameSync(file, fresh),
    directory: () => mkdirSync(`${fresh}.d`, { recursive: true }),
    link: () => {
      rmSync(path.join(context, 'link'), { force: true });
      symlinkSync(path.relative(context, file), path.join(context, 'link'));
    },
    options: () => writeFileSync(path.join(context, 'options'), String(draw.below(3))),
  };
  const name = draw.pick(Object.keys(edits));
  edits[name]?.();
  return `${name} ${path.relative(context, file)}`;
}
