import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { TbuildError } from '../../../src/base/errors.ts';
import { type FlagTable, parseFlags } from '../../../src/cli/flags.ts';

const table = {
  'build-arg': { value: 'stringArray', repeated: true, help: '' },
  env: { short: 'e', value: 'list', repeated: true, help: '' },
  file: { short: 'f', value: 'string', help: '' },
  interactive: { short: 'i', help: '' },
  network: { value: 'string', choices: ['default', 'host', 'none'], default: 'default', help: '' },
  'no-cache': { help: '' },
  tty: { short: 't', help: '' },
} as const satisfies FlagTable;

const nothing = {
  'build-arg': [],
  env: [],
  file: undefined,
  interactive: false,
  network: 'default',
  'no-cache': false,
  tty: false,
};

function failure(args: readonly string[]): string {
  try {
    parseFlags(table, args);
  } catch (error) {
    const { code, message, hint } = error as TbuildError;
    return [code, message, ...(hint ? [hint] : [])].join(' | ');
  }
  return 'no error';
}

describe('what is understood', () => {
  test.each<[args: string, flags: object, positionals: string[]]>([
    ['', {}, []],
    ['.', {}, ['.']],
    ['-f Dockerfile .', { file: 'Dockerfile' }, ['.']],
    ['-fDockerfile .', { file: 'Dockerfile' }, ['.']],
    ['-f=Dockerfile', { file: 'Dockerfile' }, []],
    ['--file=a=b', { file: 'a=b' }, []],
    ['--file= x', { file: '' }, ['x']],
    ['-f a -f b', { file: 'b' }, []],
    ['-it x', { interactive: true, tty: true }, ['x']],
    ['-itf x', { interactive: true, tty: true, file: 'x' }, []],
    ['-itfx', { interactive: true, tty: true, file: 'x' }, []],
    ['-i=false -t', { tty: true }, []],
    ['-e A=b', { env: ['A=b'] }, []],
    ['-eA=b -e C', { env: ['A=b', 'C'] }, []],
    ['--build-arg -x', { 'build-arg': ['-x'] }, []],
    ['--build-arg -- .', { 'build-arg': ['--'] }, ['.']],
    ['-f -', { file: '-' }, []],
    ['-', {}, ['-']],
    ['--no-cache=false', {}, []],
    ['--no-cache=1 x', { 'no-cache': true }, ['x']],
    ['--no-cache x', { 'no-cache': true }, ['x']],
    ['--network host', { network: 'host' }, []],
    ['a -- -b --file', {}, ['a', '-b', '--file']],
    ['a -f x b', { file: 'x' }, ['a', 'b']],
  ])('%s', (args, flags, positionals) => {
    expect(parseFlags(table, args.split(' ').filter(Boolean))).toEqual({ flags: { ...nothing, ...flags }, positionals });
  });

  test('everything behind the image belongs to the command', () => {
    const { flags, positionals } = parseFlags(table, ['-i', 'app', 'ls', '-t', '--file', 'x', '--', 'y'], {
      stopAtPositional: true,
    });
    expect(flags).toEqual({ ...nothing, interactive: true });
    expect(positionals).toEqual(['app', 'ls', '-t', '--file', 'x', '--', 'y']);
  });

  test('a command may start after --', () => {
    expect(parseFlags(table, ['-i', '--', '-app', '-t'], { stopAtPositional: true }).positionals).toEqual(['-app', '-t']);
  });
});

test('what is not understood', () => {
  const lines = [
    ['--fil', 'x'],
    ['--frobnicate'],
    ['--nocache'],
    ['-x'],
    ['-itx'],
    ['-file'],
    ['-netwrok'],
    ['--file'],
    ['-itf'],
    ['--no-cache=perhaps'],
    ['-i=2'],
    ['--network', 'hots'],
    ['--network='],
    ['--constructor'],
    ['--__proto__=x'],
  ].map((args) => `${args.join(' ')}: ${failure(args)}`);
  expect(`\n${lines.join('\n')}\n`).toMatchInlineSnapshot(`
    "
    --fil x: usage/unknown-flag | unknown flag: --fil | did you mean --file?
    --frobnicate: usage/unknown-flag | unknown flag: --frobnicate
    --nocache: usage/unknown-flag | unknown flag: --nocache | did you mean --no-cache?
    -x: usage/unknown-flag | unknown flag: -x
    -itx: usage/unknown-flag | unknown flag: -x
    -file: no error
    -netwrok: usage/unknown-flag | unknown flag: -n | did you mean --network?
    --file: usage/missing-value | flag needs a value: --file
    -itf: usage/missing-value | flag needs a value: -f
    --no-cache=perhaps: usage/bad-value | --no-cache is true or false, not "perhaps"
    -i=2: usage/bad-value | -i is true or false, not "2"
    --network hots: usage/bad-value | --network does not take "hots": it is one of default, host, none | did you mean --network=host?
    --network=: usage/bad-value | --network does not take "": it is one of default, host, none
    --constructor: usage/unknown-flag | unknown flag: --constructor
    --__proto__=x: usage/unknown-flag | unknown flag: --__proto__
    "
  `);
});

test('whatever is written is read back', () => {
  const value = fc.string();
  const word = fc.oneof(
    value.map((text) => ['--build-arg', text]),
    value.map((text) => [`--build-arg=${text}`]),
    value.map((text) => ['-e', text]),
    fc.constantFrom(['--no-cache'], ['-i'], ['-it'], ['--tty=true']),
  );
  fc.assert(
    fc.property(fc.array(word), fc.array(value), (words, rest) => {
      const { flags, positionals } = parseFlags(table, [...words.flat(), '--', ...rest]);
      const written = words.filter(([first]) => first!.startsWith('--build-arg'));
      expect(flags['build-arg']).toEqual(written.map((parts) => parts[1] ?? parts[0]!.slice('--build-arg='.length)));
      expect(flags.env).toEqual(words.filter(([first]) => first === '-e').map(([, text]) => text));
      expect(positionals).toEqual(rest);
    }),
  );
});

test('any arguments are either understood or an error of the user', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.string(), fc.constantFrom('--file', '-e', '-it', '--', '--no-cache=')), { maxLength: 6 }),
      (args) => {
        const outcome = failure(args);
        expect(outcome).toMatch(/^(?:no error|usage\/(?:unknown-flag|missing-value|bad-value) \| )/);
      },
    ),
  );
});
