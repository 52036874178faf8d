// What a RUN that failed says, where no test can make it happen.
import { expect, test } from 'vitest';
import type { RunOperation } from '../../../src/plan/graph.ts';
import { countOomKills, explainFailure } from '../../../src/steps/run-failure.ts';

const operation = { args: ['/bin/sh', '-c', 'make'] } as unknown as RunOperation;

const ended = (status: number, killedForMemory = false) => ({ status, killedForMemory });

test('a kill while the kernel was out of memory is told from another', () => {
  const before = countOomKills();
  expect(explainFailure(operation, ended(137), before - 1).message).toBe(
    'process "/bin/sh -c make" did not complete successfully: exit code: 137 (cannot allocate memory)',
  );
  expect(explainFailure(operation, ended(137), before)).toMatchObject({
    message: 'process "/bin/sh -c make" did not complete successfully: exit code: 137',
    hint: expect.stringContaining('SIGKILL'),
  });
  expect(explainFailure(operation, ended(1), before - 1).message).toMatch(/exit code: 1$/);
});

test('a kill for the limit of memory is one whatever the command made of it', () => {
  expect(explainFailure(operation, ended(2, true), countOomKills())).toMatchObject({
    message: 'process "/bin/sh -c make" did not complete successfully: exit code: 2 (cannot allocate memory)',
    hint: expect.stringContaining('--resource memory'),
  });
});
