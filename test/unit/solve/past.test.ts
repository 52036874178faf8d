// Which steps of an earlier build are which of one that has been edited since.

import { describe, expect, it } from 'vitest';
import type { StepOutcome } from '../../../src/cache/builds.ts';
import { align, chainTo } from '../../../src/solve/why/past.ts';

const steps = (...names: string[]): StepOutcome[] =>
  names.map((name, at) => ({
    name: `[${at + 1}/${names.length}] ${name}`,
    stage: '0',
    kind: name.split(' ')[0]?.toLowerCase() ?? '',
    how: 'cached',
    ...(at > 0 && { parent: at - 1 }),
  }));

function pairs(now: readonly StepOutcome[], then: readonly StepOutcome[]): string[] {
  const all = (of: readonly StepOutcome[]) => [...of.keys()];
  return align(now, all(now), then, all(then)).map(({ now: a, before: b }) => `${a ?? '-'}${b ?? '-'}`);
}

describe('steps', () => {
  const old = steps('RUN a', 'COPY b', 'RUN c', 'RUN d');

  it('are paired by their text, in order', () => {
    expect(pairs(old, old)).toEqual(['00', '11', '22', '33']);
    expect(pairs(steps('RUN a', 'RUN new', 'COPY b', 'RUN c', 'RUN d'), old)).toEqual(['00', '1-', '21', '32', '43']);
    expect(pairs(steps('RUN a', 'RUN c', 'RUN d'), old)).toEqual(['00', '-1', '12', '23']);
    expect(pairs(steps(), old)).toEqual(['-0', '-1', '-2', '-3']);
    expect(pairs(old, steps())).toEqual(['0-', '1-', '2-', '3-']);
  });

  it('whose text is another, by their kind', () => {
    expect(pairs(steps('RUN a', 'COPY x', 'RUN c', 'RUN d'), old)).toEqual(['00', '11', '22', '33']);
    expect(pairs(steps('RUN x', 'COPY y', 'RUN z', 'RUN q'), old)).toEqual(['00', '11', '22', '33']);
    expect(pairs(steps('COPY b', 'RUN a', 'RUN c', 'RUN d'), old)).toEqual(expect.arrayContaining(['22', '33']));
    expect(pairs(steps('RUN a', 'WORKDIR w', 'RUN c', 'RUN d'), old)).toEqual(['00', '1-', '-1', '22', '33']);
  });

  it('are many in no time', () => {
    const long = Array.from({ length: 5000 }, (_, i) => `RUN ${i}`);
    const edited = long.with(2500, 'RUN edited');
    const begin = performance.now();
    expect(pairs(steps(...edited), steps(...long))).toHaveLength(5000);
    expect(pairs(steps(...long.map((line) => `${line} all of them`)), steps(...long))).toHaveLength(5000);
    expect(performance.now() - begin).toBeLessThan(5000);
  });

  it('stand on each other', () => {
    expect(chainTo(old, 2)).toEqual([0, 1, 2]);
    expect(chainTo(old, undefined)).toEqual([]);
  });
});
