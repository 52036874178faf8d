import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { TbuildError } from '../../../../src/base/errors.ts';
import { parseBuildArgs, parseLabels, parsePlatforms, parseSecret, withEpoch } from '../../../../src/cli/values/build.ts';
import { parseKeyValues } from '../../../../src/cli/values/key.ts';

function messageOf(act: () => unknown): string {
  try {
    return `no error: ${JSON.stringify(act())}`;
  } catch (error) {
    const { code, message, hint } = error as TbuildError;
    return [code, message, ...(hint ? [hint] : [])].join(' | ');
  }
}

test('build arguments come from the environment when they have no value', () => {
  const env = { TOKEN: 'abc', EMPTY: '' };
  expect(parseBuildArgs(['A=1', 'B=x=y', 'C=', 'TOKEN', 'EMPTY', 'UNSET', 'A=2', '__proto__=x'], env)).toEqual(
    Object.fromEntries([
      ['A', '2'],
      ['B', 'x=y'],
      ['C', ''],
      ['TOKEN', 'abc'],
      ['EMPTY', ''],
      ['__proto__', 'x'],
    ]),
  );
  expect(messageOf(() => parseBuildArgs(['=x'], env))).toMatchInlineSnapshot(
    `"usage/bad-value | --build-arg takes NAME=value or NAME, and the name is empty"`,
  );
});

test('labels', () => {
  expect(parseLabels(['a=b=c', 'd'])).toEqual({ a: 'b=c', d: '' });
  expect(messageOf(() => parseLabels(['=x']))).toMatchInlineSnapshot(
    `"usage/bad-value | --label takes name=value, and the name is empty in "=x""`,
  );
});

describe('secrets', () => {
  const env = { npm: 'x', NPM_TOKEN: 'hunter2' };
  test.each([
    ['id=a,src=/s', { id: 'a', file: '/s' }],
    ['id=a,source=/s', { id: 'a', file: '/s' }],
    ['id=a,env=NPM_TOKEN', { id: 'a', env: 'NPM_TOKEN' }],
    ['id=a,type=env,src=NPM_TOKEN', { id: 'a', env: 'NPM_TOKEN' }],
    ['id=a,type=file,src=b', { id: 'a', file: 'b' }],
    ['id=npm', { id: 'npm', env: 'npm' }],
    ['id=npm,type=file', { id: 'npm', file: 'npm' }],
    ['id=other', { id: 'other', file: 'other' }],
    ['type=env,id=other', { id: 'other', env: 'other' }],
    ['"id=a","src=/with,comma"', { id: 'a', file: '/with,comma' }],
    ['ID=a,Src=/s', { id: 'a', file: '/s' }],
  ])('%s', (text, secret) => {
    expect(parseSecret(text, env)).toEqual(secret);
  });

  test('what is wrong is said', () => {
    const lines = ['', 'a', 'id=', 'id=a,src=b,env=c', 'id=a,type=vault', 'id=a,srv=b', 'id=a,"src=b', 'id=a,mode=0400'];
    expect(lines.map((text) => messageOf(() => parseSecret(text, env))).join('\n')).toMatchInlineSnapshot(`
      "usage/bad-value | --secret takes key=value pairs, and field 1 has no =
      usage/bad-value | --secret takes key=value pairs, and field 1 has no =
      usage/bad-value | --secret needs an id
      usage/conflict | --secret id=a has both a file and a variable: one of src and env is enough
      usage/bad-value | --secret has the type file or env, not "vault"
      usage/bad-value | --secret does not know "srv" | did you mean src=?
      usage/bad-value | --secret has a stray quote in field 2
      usage/bad-value | --secret does not know "mode" | it knows id, src, source, env, type"
    `);
  });
});

test('any key=value pairs survive being written as CSV', () => {
  const quoted = (field: string) => `"${field.replaceAll('"', '""')}"`;
  fc.assert(
    fc.property(fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.string(), { minKeys: 1 }), (values) => {
      const text = Object.entries(values)
        .map(([key, value]) => quoted(`${key}=${value}`))
        .join(',');
      expect(Object.fromEntries(parseKeyValues('--x', text))).toEqual({ ...values });
    }),
  );
});

test('--platform: lists, repeated, `local`, each once; DOCKER_DEFAULT_PLATFORM where nothing is said', () => {
  const host = { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch };
  const other = { os: 'linux', architecture: 's390x' };
  expect(parsePlatforms(['local, linux/s390x', 's390x'], {})).toEqual([host, other]);
  expect(parsePlatforms(['linux/arm64/v8', 'linux/arm64'], {})).toEqual([{ os: 'linux', architecture: 'arm64' }]);
  expect(parsePlatforms([], { DOCKER_DEFAULT_PLATFORM: 'linux/s390x' })).toEqual([other]);
  expect(parsePlatforms([], {})).toEqual([]);
  expect(() => parsePlatforms(['linux/'], {})).toThrow('"linux/" is not a platform');
});

test('SOURCE_DATE_EPOCH of the environment is a build argument, unless there is one', () => {
  expect(withEpoch({ a: '1' }, { SOURCE_DATE_EPOCH: '5' })).toEqual({ a: '1', SOURCE_DATE_EPOCH: '5' });
  expect(withEpoch({ SOURCE_DATE_EPOCH: '' }, { SOURCE_DATE_EPOCH: '5' })).toEqual({ SOURCE_DATE_EPOCH: '' });
  expect(withEpoch({}, { SOURCE_DATE_EPOCH: '' })).toEqual({});
});
