// What a RUN that failed says, where no test can make it happen.
import { expect, test } from 'vitest';
import type { RunOperation } from '../../../src/plan/graph.ts';
import { countOomKills, explainFailure } from '../../../src/steps/run-failure.ts';

const operation = { args: ['/bin/sh', '-c', 'make'] } as unknown as RunOperation;

test('a kill while the kernel was out of memory is told from another', () => {
  const before = countOomKills();
  expect(explainFailure(operation, 137, before - 1).message).toBe(
    'process "/bin/sh -c make" did not complete successfully: exit code: 137 (cannot allocate memory)',
  );
  expect(explainFailure(operation, 137, before)).toMatchObject({
    message: 'process "/bin/sh -c make" did not complete successfully: exit code: 137',
    hint: expect.stringContaining('SIGKILL'),
  });
  expect(explainFailure(operation, 1, before - 1).message).toMatch(/exit code: 1$/);
});
