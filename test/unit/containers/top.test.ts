import { describe, expect, it } from 'vitest';
import { chooseProcesses } from '../../../src/containers/top.ts';

const output = `UID        PID  PPID  C STIME TTY          TIME CMD
root         1     0  0 09:00 ?        00:00:01 /sbin/init
daemon    4711  4700  0 12:00 pts/0    00:00:00 sh -c  sleep 60;  true
daemon       -     -  0 12:00 -        00:00:00 -
root      4712  4711  0 12:00 ?        00:00:00 sleep 60
`;

describe('what ps says', () => {
  it('is of those that are wanted, and their threads', () => {
    expect(chooseProcesses(output, new Set([4711]))).toEqual({
      titles: ['UID', 'PID', 'PPID', 'C', 'STIME', 'TTY', 'TIME', 'CMD'],
      rows: [
        ['daemon', '4711', '4700', '0', '12:00', 'pts/0', '00:00:00', 'sh -c sleep 60; true'],
        ['daemon', '-', '-', '0', '12:00', '-', '00:00:00', '-'],
      ],
    });
  });

  it('must have a column of numbers', () => {
    expect(() => chooseProcesses('USER CMD\nroot x\n', new Set())).toThrow("Couldn't find PID field in ps output");
  });
});
