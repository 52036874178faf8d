import { expect, test } from 'vitest';
import { TbuildError } from '../../../src/base/errors.ts';
import { interruptible } from '../../../src/cli/interruption.ts';

test('what an interrupted build throws is the interruption, whatever died first', async () => {
  const said: string[] = [];
  const work = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(new TbuildError('native/crashed', 'the helper ended: SIGINT')));
      process.emit('SIGINT', 'SIGINT');
    });
  await expect(interruptible(work, () => said.push('canceling'))).rejects.toMatchObject({
    code: 'cancelled/interrupted',
    cause: { code: 'native/crashed' },
  });
  expect(said).toEqual(['canceling']);
  expect(process.listenerCount('SIGTERM')).toBe(0);
});

test('other errors stay what they are', async () => {
  const error = new TbuildError('run/exit', 'exited with code 1');
  await expect(
    interruptible(
      () => Promise.reject(error),
      () => {},
    ),
  ).rejects.toBe(error);
});
