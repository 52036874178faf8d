import { describe, expect, it } from 'vitest';
import { changeMode } from '../../../src/steps/mode.ts';

describe('changeMode', () => {
  it.each([
    [0o644, false, undefined, 0o644],
    [0o644, false, '755', 0o755],
    [0o644, false, '04755', 0o4755],
    [0o600, false, 'a+r', 0o644],
    [0o644, false, '+x', 0o755],
    [0o644, false, 'u=rwX,go=rX', 0o644],
    [0o700, true, 'u=rwX,go=rX', 0o755],
    [0o640, false, 'g=u', 0o660],
    [0o755, false, 'u+s,g+s', 0o6755],
    [0o755, true, '+t', 0o1755],
    [0o777, false, 'go-w', 0o755],
    [0o4755, false, 'u=rx', 0o555],
    [0o644, false, 'u+x-w', 0o544],
  ])('%o (directory: %s) with %s is %o', (mode, isDirectory, change, expected) => {
    expect(changeMode(mode, isDirectory, change)).toBe(expected);
  });

  it.each(['rwx', '99', '010000', 'u~x', ''])('refuses %j', (change) => {
    expect(() => changeMode(0o644, false, change)).toThrow(/invalid --chmod value/);
  });
});
