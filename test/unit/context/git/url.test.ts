// What a text says of a git repository, in BuildKit's words and ours; and what never reaches git.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TbuildError } from '../../../../src/base/errors.ts';
import { checkRemote, parseGitContext, parseGitUrl } from '../../../../src/context/git/url.ts';
import { redactUrl } from '../../../../src/http/url.ts';

const sha = '0123456789abcdef0123456789abcdef01234567';

/** Only what is not the default. */
function parse(text: string, isKnown = false): Record<string, unknown> | undefined | string {
  try {
    const source = parseGitUrl(text, isKnown);
    if (source === undefined) return undefined;
    const defaults = { ref: '', subdir: '', checksum: '', submodules: true, mtime: 'checkout', fetchByCommit: false };
    const isDefault = ([key, value]: [string, unknown]) =>
      value === undefined || defaults[key as keyof typeof defaults] === value;
    return Object.fromEntries(Object.entries(source).filter((entry) => !isDefault(entry)));
  } catch (error) {
    expect(error).toBeInstanceOf(TbuildError);
    return (error as TbuildError).message;
  }
}

describe('is git', () => {
  it.each([
    ['https://host/user/repo.git', { remote: 'https://host/user/repo.git' }],
    ['HTTPS://host/repo.git', { remote: 'HTTPS://host/repo.git' }],
    ['http://u:p@host:8080/repo.git#ref', { remote: 'http://u:p@host:8080/repo.git', ref: 'ref' }],
    ['git://host/any', { remote: 'git://host/any' }],
    ['ssh://git@host:22/any', { remote: 'ssh://git@host:22/any' }],
    ['git@host:user/repo', { remote: 'git@host:user/repo' }],
    ['git@host:user/repo.git#ref:sub', { remote: 'git@host:user/repo.git', ref: 'ref', subdir: 'sub' }],
    ['my_user@host:repo?branch=b', { remote: 'my_user@host:repo', ref: 'refs/heads/b' }],
  ])('%s', (text, expected) => {
    expect(parse(text)).toEqual(expected);
  });

  it('http without .git only where somebody said so', () => {
    expect(parse('https://host/repo')).toBeUndefined();
    expect(parse('https://host/repo', true)).toEqual({ remote: 'https://host/repo' });
  });

  it('github.com/… as a context alone', () => {
    expect(parseGitContext('github.com/user/repo#v1')?.remote).toBe('https://github.com/user/repo');
    expect(parseGitUrl('github.com/user/repo')).toBeUndefined();
  });

  it.each([
    '',
    '.',
    'a',
    'a.git',
    './a.git',
    '/a.git',
    'host:path',
    'file:///a.git',
    'ext::sh -c x',
    'https://host/x.git.gz',
    'ftp://h/x.git',
  ])('%j is not', (text) => {
    expect(parse(text)).toBeUndefined();
  });
});

describe('says what of it', () => {
  const url = 'https://host/r.git';
  it.each([
    ['#main', { ref: 'main' }],
    ['#:sub/dir', { subdir: 'sub/dir' }],
    ['#v1:/./sub//dir/', { ref: 'v1', subdir: 'sub/dir' }],
    ['#:/', {}],
    ['#feature%2Fx', { ref: 'feature/x' }],
    ['?ref=main', { ref: 'main' }],
    ['?ref=main#main:sub', { ref: 'main', subdir: 'sub' }],
    ['?tag=v1', { ref: 'refs/tags/v1' }],
    ['?tag=refs/tags/v1', { ref: 'refs/tags/v1' }],
    ['?branch=b&subdir=d', { ref: 'refs/heads/b', subdir: 'd' }],
    [`?checksum=${sha}`, { ref: sha, checksum: sha }],
    ['?tag=v1&commit=ABCDEF', { ref: 'refs/tags/v1', checksum: 'abcdef' }],
    ['?submodules=false', { submodules: false }],
    ['?submodules', {}],
    ['?keep-git-dir', { keepGitDir: true }],
    ['?keep-git-dir=0', { keepGitDir: false }],
    ['?mtime=commit', { mtime: 'commit' }],
    [`?branch=b&checksum=${sha}&fetch-by-commit=true`, { ref: 'refs/heads/b', checksum: sha, fetchByCommit: true }],
  ])('%s', (suffix, expected) => {
    expect(parse(url + suffix)).toEqual({ remote: url, ...expected });
  });
});

describe('is wrong', () => {
  it.each([
    ['?x=1', 'unexpected query "x"'],
    ['?ref=', 'query "ref" has no value'],
    ['?ref=a&ref=b', 'query "ref" has multiple values'],
    ['?ref=a#b', 'ref conflicts: "b" vs "a"'],
    ['?subdir=a#:b', 'subdir conflicts: "b" vs "a"'],
    ['?tag=a&branch=b', 'branch conflicts with tag'],
    ['?tag=a#b', 'ref conflicts: "b" vs "refs/tags/a"'],
    ['?keep-git-dir=maybe', 'invalid keep-git-dir value: "maybe"'],
    ['?submodules=2', 'invalid submodules value: "2"'],
    ['?mtime=now', 'invalid mtime value: "now"'],
    ['?checksum=xyz', 'invalid checksum xyz for Git URL, expected hex commit hash'],
    ['?checksum=abc&fetch-by-commit=1', 'fetch-by-commit needs the whole commit as checksum'],
    ['#-x', '"-x" is no name of a branch, tag or commit'],
    ['#--upload-pack=x', '"--upload-pack=x" is no name of a branch, tag or commit'],
    ['#a..b', '"a..b" is no name of a branch, tag or commit'],
    ['#a%0Ab', '"a\\nb" is no name of a branch, tag or commit'],
    ['#a:../b', 'the subdirectory "../b" leads out of the repository'],
    ['#a:b/../../c', 'the subdirectory "b/../../c" leads out of the repository'],
    ['#%', 'invalid URL escape in "%"'],
  ])('%s', (suffix, message) => {
    expect(parse(`https://host/r.git${suffix}`)).toBe(message);
  });

  it.each([
    'ssh://-oProxyCommand=x/r',
    'ssh://user@-oProxyCommand=x/r',
    'git://-x/r',
    'git@-host:r',
    'git@host:-r',
    'https://host/a\nb.git',
    'git://host/a b',
    'ssh://host',
  ])('%j', (text) => {
    expect(parse(text)).toContain('is no URL of a git repository');
  });
});

it('what passes is a URL of four schemes or user@host:path, and never an option', () => {
  const piece = fc.constantFrom(
    'https://',
    'ext::',
    'file://',
    '-',
    '--x=',
    'git@',
    'host',
    ':',
    '/',
    '.git',
    '\n',
    ' ',
    '\0',
    '@',
    '#',
    '?',
    'é',
    '%2d',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join('');
      try {
        expect(checkRemote(text)).toMatch(/^(?:(?:https?|git|ssh):\/\/[^-]|[\w-]+@[^-])[^\s\0]*$/i);
      } catch (error) {
        expect(error).toBeInstanceOf(TbuildError);
      }
    }),
  );
});

it('a URL is shown without what is secret in it', () => {
  expect(redactUrl('https://u:p@host/a@b?token=x#y')).toBe('https://host/a@b');
  expect(redactUrl('git@host:a/b.git#v1')).toBe('git@host:a/b.git');
});
