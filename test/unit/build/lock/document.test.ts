import { expect, it } from 'vitest';
import { EMPTY_LOCK, formatLock, parseLock } from '../../../../src/build/lock/document.ts';

const digest = (digit: string) => `sha256:${digit.repeat(64)}` as const;

it('is written in one form, whatever the order of what is known', () => {
  const image = (platforms: readonly string[]) => ({
    digest: digest('0'),
    platforms: new Map(platforms.map((platform) => [platform, digest('1')])),
  });
  const lock = {
    ...EMPTY_LOCK,
    images: new Map([
      ['docker.io/library/b:1', image(['linux/arm64', 'linux/amd64'])],
      ['docker.io/library/a:1', image([])],
    ]),
    git: new Map([['https://host/a.git', { commit: '2'.repeat(40), ref: undefined }]]),
  };
  const text = formatLock(lock);
  expect(text).toBe(`{
  "version": 1,
  "images": {
    "docker.io/library/a:1": {
      "digest": "${digest('0')}",
      "platforms": {}
    },
    "docker.io/library/b:1": {
      "digest": "${digest('0')}",
      "platforms": {
        "linux/amd64": "${digest('1')}",
        "linux/arm64": "${digest('1')}"
      }
    }
  },
  "git": {
    "https://host/a.git": {
      "commit": "${'2'.repeat(40)}"
    }
  }
}
`);
  expect(formatLock(parseLock(Buffer.from(text), 'x'))).toBe(text);
});

it('has keys like any other that are named as parts of objects are', () => {
  const text = `{"version": 1, "urls": {"__proto__": {"checksum": "${digest('0')}"}}}`;
  expect([...parseLock(Buffer.from(text), 'x').urls.keys()]).toEqual(['__proto__']);
});
