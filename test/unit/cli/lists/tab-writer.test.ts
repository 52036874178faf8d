import { describe, expect, it } from 'vitest';
import { alignTabs } from '../../../../src/cli/lists/tab-writer.ts';

describe('cells', () => {
  it.each([
    ['a\tb\nlonger than ten\tc\n', 'a                 b\nlonger than ten   c\n'],
    // What is behind the last tab is as long as it is; a cell before it is padded though nothing follows.
    ['a\tb\t\n', 'a         b         \n'],
    // A line without tabs ends the columns above it.
    ['x\ty\nnone\nlonger than ten\ty\n', 'x         y\nnone\nlonger than ten   y\n'],
    ['コンテナ\tx\n', 'コンテナ   x\n'],
    ['', ''],
  ])('%j', (text, aligned) => {
    expect(alignTabs(text)).toBe(aligned);
  });
});
