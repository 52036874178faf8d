// Heredocs in RUN and COPY. The names are the numbers and sentences of the list of behaviours (all.test.ts).

import { expect, test } from 'vitest';
import { buildError, buildImage } from '../support/built-image.ts';

test("62. Heredoc RUN has no implicit `set -e`: first failing line doesn't fail the build.", async () => {
  const { text } = await buildImage('FROM busybox\nRUN <<EOF\nfalse\necho went on > /f\nEOF');
  expect(text('/f')).toBe('went on');
  await buildError('FROM busybox\nRUN <<EOF\nset -e\nfalse\ntrue\nEOF');
  await buildError('FROM busybox\nRUN <<EOF\ntrue\nfalse\nEOF');
});

test('63. Heredoc with `<<-EOF` strips tabs only.', async () => {
  const { text } = await buildImage('FROM scratch\nCOPY <<-EOF /f\n\t\tone\n\t  two\n  three\n\tEOF');
  expect(text('/f')).toBe('one\n  two\n  three');
});

test("64. Heredoc body containing `EOF ` (trailing space) doesn't terminate.", async () => {
  const { text } = await buildImage('FROM scratch\nCOPY <<EOF /f\none\nEOF \n EOF\n\tEOF\nEOF');
  expect(text('/f')).toBe('one\nEOF \n EOF\n\tEOF');
});

test('65. `COPY <<EOF /dir/` creates `/dir/EOF`.', async () => {
  const { list, stat, text } = await buildImage('FROM scratch\nENV v=val\nCOPY <<EOF <<"two" /dir/\n$v\nEOF\n$v\ntwo');
  expect(list('/dir')).toEqual(['EOF', 'two']);
  expect([text('/dir/EOF'), text('/dir/two')]).toEqual(['val', '$v']);
  expect(stat('/dir/EOF')).toBe('644 0:0');
});

test("66. `RUN <<EOF` with shebang runs the interpreter; variables aren't expanded by the builder.", async () => {
  const lines = ['ENV v=builder', 'RUN <<EOF', '#!/bin/ash -e', 'v=script', 'echo "$0 $v \\$v" > /f', 'EOF'];
  const { files, text } = await buildImage(`FROM busybox\n${lines.join('\n')}`);
  expect(text('/f')).toBe('/dev/pipes/EOF script $v');
  expect([...files.keys()].filter((name) => name.startsWith('dev/pipes'))).toEqual([]);
});
