// How a Dockerfile's text becomes instructions. The names are the numbers and sentences of the list of behaviours (all.test.ts).

import { expect, test } from 'vitest';
import { buildError, buildImage } from '../support/built-image.ts';

test("1. `RUN ['echo','x']` is shell form (single quotes aren't JSON) → shell runs `[echo,x]`.", async () => {
  const image = await buildImage(`FROM busybox\nRUN ['echo','x'] 2> /said || true`);
  expect(image.text('/said')).toContain('[echo,x]: not found');
  expect(image.history.at(-1)?.created_by).toBe(`RUN /bin/sh -c ['echo','x'] 2> /said || true # buildkit`);
});

test('2. `RUN ["echo", 1]` is a hard parse error, not shell form.', async () => {
  const error = await buildError('FROM busybox\nRUN ["echo", 1]');
  expect(error).toContain('when using JSON array syntax, arrays must be comprised of strings only');
});

test('3. `CMD [ "a" ] trailing` is shell form.', async () => {
  const { config } = await buildImage('FROM busybox\nCMD [ "a" ] trailing');
  expect(config.Cmd).toEqual(['/bin/sh', '-c', '[ "a" ] trailing']);
});

test('4. Trailing blanks after `\\` still continue the line.', async () => {
  const { config } = await buildImage('FROM busybox\nLABEL a=1 \\  \t \n b=2');
  expect(config.Labels).toEqual({ a: '1', b: '2' });
});

test('5. A comment line between two continuation lines vanishes; a blank one only warns.', async () => {
  const commented = await buildImage('FROM busybox\nLABEL a=1 \\\n# not here\n  # nor here\n b=2');
  expect(commented.config.Labels).toEqual({ a: '1', b: '2' });
  expect(rulesOf(commented)).toEqual([]);
  const blank = await buildImage('FROM busybox\nLABEL a=1 \\\n\n b=2');
  expect(blank.config.Labels).toEqual({ a: '1', b: '2' });
  expect(rulesOf(blank)).toEqual(['NoEmptyContinuation']);
});

test('6. Continuation keeps the next line\'s leading spaces inside the value (`ENV A="x\\⏎   y"` has 3 spaces).', async () => {
  const { config } = await buildImage('FROM busybox\nENV A="x\\\n   y"');
  expect(config.Env).toContain('A=x   y');
});

test('7. `#` after an instruction is data (`RUN echo a # b` passes `# b` to the shell).', async () => {
  const { config, text } = await buildImage('FROM busybox\nRUN echo "a # b" > /f # c\nLABEL l=v#w\nCMD echo a # b');
  expect(text('/f')).toBe('a # b');
  expect(config.Labels).toEqual({ l: 'v#w' });
  expect(config.Cmd?.at(-1)).toBe('echo a # b');
});

test('8. First blank line kills directive parsing: `⏎# escape=\\`` is a plain comment.', async () => {
  const { config } = await buildImage('\n# escape=`\nFROM busybox\nENV a=x\\ y');
  expect(config.Env).toContain('a=x y');
  const directed = await buildImage('# escape=`\nFROM busybox\nENV a=x`\n\\ b=z');
  expect(directed.config.Env).toContain('a=x\\');
  expect(directed.config.Env).toContain('b=z');
});

test('9. `# syntax` after an unknown `# foo=bar` directive is ignored.', async () => {
  const { config } = await buildImage('# foo=bar\n# syntax=no.such/frontend\n# escape=`\nFROM busybox\nENV a=x\\ y');
  expect(config.Env).toContain('a=x y');
});

test('10. Same directive twice → error even if equal.', async () => {
  const error = await buildError('# escape=`\n# escape=`\nFROM busybox');
  expect(error).toContain('only one escape parser directive can be used');
});

test('11. `# check=skip=X` above one instruction silences only that instruction.', async () => {
  const found = await buildImage('FROM busybox\n# check=skip=MaintainerDeprecated\nMAINTAINER a\nRUN true\nMAINTAINER b');
  const warnings = found.events.flatMap((event) => (event.type === 'warning' ? [event.warning] : []));
  expect(warnings.map(({ rule }) => rule)).toEqual(['MaintainerDeprecated']);
  expect(warnings[0]).toMatchObject({ where: { range: { startLine: 5 } } });
});

test('12. BOM + `# escape=` works.', async () => {
  const { config } = await buildImage('\ufeff# escape=`\nFROM busybox\nENV a=x\\y b=`\nz');
  expect(config.Env).toContain('b=z');
  expect(config.Env).toContain('a=x\\y');
});

/** The rules whose findings the build printed. */
function rulesOf({ events }: Awaited<ReturnType<typeof buildImage>>): string[] {
  return events.flatMap((event) => (event.type === 'warning' ? [event.warning.rule] : []));
}
