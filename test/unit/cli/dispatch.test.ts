import { expect, test } from 'vitest';
import { debug } from '../../../src/base/debug.ts';
import { chooseCommand } from '../../../src/cli/dispatch.ts';
import { tbuild } from './fake-surroundings.ts';

const isDirectory = (path: string) => path === 'src';

test.each<[args: string, name: string | undefined, rest: string]>([
  ['', undefined, ''],
  ['--help', undefined, ''],
  ['help build', 'build', '--help'],
  ['--version', 'version', ''],
  ['-v', 'version', ''],
  ['build -t app .', 'build', '-t app .'],
  ['-t app .', 'build', '-t app .'],
  ['--file x .', 'build', '--file x .'],
  ['.', 'build', '.'],
  ['-', 'build', '-'],
  ['./app -t app', 'build', './app -t app'],
  ['src', 'build', 'src'],
  ['https://example.com/a.git', 'build', 'https://example.com/a.git'],
  ['ls -q', 'images', '-q'],
])('tbuild %s', (args, name, rest) => {
  const choice = chooseCommand(args.split(' ').filter(Boolean), isDirectory);
  expect(choice).toEqual({ name, rest: rest.split(' ').filter(Boolean) });
});

test('a command that is not there', async () => {
  expect(await tbuild(['biuld', '.'])).toMatchInlineSnapshot(`
    {
      "exitCode": 2,
      "stderr": "error: there is no command "biuld", nor a directory of that name to build
    hint: did you mean tbuild build?
    ",
      "stdout": "",
    }
  `);
  expect(await tbuild(['frobnicate'])).toMatchInlineSnapshot(`
    {
      "exitCode": 2,
      "stderr": "error: there is no command "frobnicate", nor a directory of that name to build
    hint: tbuild --help lists the commands
    ",
      "stdout": "",
    }
  `);
  expect((await tbuild(['toString'])).exitCode).toBe(2);
});

test('-D before or behind the command prints stacks', async () => {
  const library = { tagImage: () => Promise.reject(new TypeError('x is not a function')) };
  for (const args of [
    ['-D', 'tag', 'a', 'b'],
    ['tag', '--debug', 'a', 'b'],
  ]) {
    const { stderr, exitCode } = await tbuild(args, { library });
    expect(exitCode).toBe(70);
    expect(stderr).toMatch(/\n {4}at .*dispatch\.test\.ts:\d+/);
  }
  expect((await tbuild(['tag', 'a', 'b'], { library })).stderr).toMatchInlineSnapshot(`
    "error: this is a bug in tbuild: x is not a function
    hint: please report it, with what the same command prints with --debug
    "
  `);
});

test('-D prints what the floors below say of themselves', async () => {
  const library = { tagImage: async () => debug(() => 'the driver is erofs\x07') };
  expect((await tbuild(['tag', 'a', 'b'], { library })).stderr).toBe('');
  expect((await tbuild(['-D', 'tag', 'a', 'b'], { library })).stderr).toBe('debug: the driver is erofs\n');
});

test('too few and too many arguments', async () => {
  const messages = [];
  for (const args of [
    ['tag', 'a'],
    ['tag', 'a', 'b', 'c'],
    ['rmi'],
    ['version', 'x'],
    ['build'],
    ['build', 'a', 'b'],
    ['images', 'a', 'b'],
  ]) {
    const { stderr, exitCode } = await tbuild(args);
    messages.push(`${exitCode} ${stderr.trim()}`);
  }
  expect(messages.join('\n')).toMatchInlineSnapshot(`
    "2 error: tbuild tag takes 2 arguments, not 1
    hint: the usage is: tbuild tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]
    2 error: tbuild tag takes 2 arguments, not 3
    hint: the usage is: tbuild tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]
    2 error: tbuild rmi takes at least 1 argument, not 0
    hint: the usage is: tbuild rmi [OPTIONS] IMAGE [IMAGE...]
    2 error: tbuild version takes no arguments, not 1
    hint: the usage is: tbuild version [OPTIONS]
    2 error: tbuild build takes 1 argument, not 0
    hint: the usage is: tbuild build [OPTIONS] PATH | URL | -
    2 error: tbuild build takes 1 argument, not 2
    hint: the usage is: tbuild build [OPTIONS] PATH | URL | -
    2 error: tbuild images takes at most 1 argument, not 2
    hint: the usage is: tbuild images [OPTIONS] [REPOSITORY[:TAG]]"
  `);
});
