// Words: quotes, escapes, and what variables become. The names are the numbers and sentences of the list of behaviours (all.test.ts).

import { expect, test } from 'vitest';
import { buildError, buildImage } from '../support/built-image.ts';

test('13. `ENV k a b  c` (legacy) keeps everything after the first gap as the value.', async () => {
  const { config } = await buildImage('FROM busybox\nENV k \t a b  c\nLABEL l  x   y');
  expect(config.Env).toContain('k=a b  c');
  expect(config.Labels).toEqual({ l: 'x   y' });
});

test('14. `ENV ONE TWO= THREE=x` sets one variable.', async () => {
  const { config } = await buildImage('FROM busybox\nENV ONE TWO= THREE=x');
  expect(config.Env).toContain('ONE=TWO= THREE=x');
  expect(config.Env?.filter((entry) => /^(?:TWO|THREE)=/.test(entry))).toEqual([]);
});

test('15. `ENV a=$a:x a2=$a` uses the old `$a` for both.', async () => {
  const { config } = await buildImage('FROM busybox\nENV a=old\nENV a=$a:x a2=$a');
  expect(config.Env).toEqual([expect.stringMatching(/^PATH=/), 'a=old:x', 'a2=old']);
});

test('16. `ENV "k"=v` / `LABEL "a b"=c`: quotes in keys are processed.', async () => {
  const { config } = await buildImage(`FROM busybox\nENV "k"=v 'm n'=w\nLABEL "a b"=c d\\ e=f`);
  expect(config.Env).toEqual([expect.stringMatching(/^PATH=/), 'k=v', 'm n=w']);
  expect(config.Labels).toEqual({ 'a b': 'c', 'd e': 'f' });
});

test('17. `\'$x\'` stays literal in ENV/LABEL/COPY, `"$x"` expands.', async () => {
  const lines = [`ENV a='$x' b="$x"`, `LABEL a='$x' b="$x"`, `COPY '$x' "/$x"`];
  const { config, text } = await buildImage(`FROM busybox\nENV x=value\n${lines.join('\n')}`, { context: { $x: 'file\n' } });
  expect(config.Env).toEqual([expect.stringMatching(/^PATH=/), 'x=value', 'a=$x', 'b=value']);
  expect(config.Labels).toEqual({ a: '$x', b: 'value' });
  expect(text('/value')).toBe('file');
});

test('18. `\\$x` gives `$x`; `\\\\$x` gives `\\` + value.', async () => {
  const { config } = await buildImage('FROM busybox\nENV x=v\nENV a=\\$x b=\\\\$x c="\\$x"');
  expect(config.Env?.slice(2)).toEqual(['a=$x', 'b=\\v', 'c=$x']);
});

test('19. `${x:-}`, `${x-}` and `${x:+}` with empty word are legal.', async () => {
  const { config } = await buildImage('FROM busybox\nENV v=set e=\nENV a=[${x:-}] b=[${x-}] c=[${x:+}${v:+}] d=[${e-w}${e:-w}]');
  expect(config.Env?.slice(3)).toEqual(['a=[]', 'b=[]', 'c=[]', 'd=[w]']);
});

test('20. `${x?}` unset fails the *build* with the variable name in the message.', async () => {
  expect(await buildError('FROM busybox\nENV a=${needed?}')).toContain('needed: is not allowed to be unset');
  expect(await buildError('FROM busybox\nENV a="${needed:?give it}"')).toContain('needed: give it');
  expect(await buildError('FROM busybox\nARG needed=\nWORKDIR /${needed:?}')).toContain('needed: is not allowed to be empty');
  const { config } = await buildImage('FROM busybox\nARG needed=\nENV a=[${needed?}]');
  expect(config.Env).toContain('a=[]');
});
