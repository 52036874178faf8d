// Docker's form of a seccomp profile: what counts for whom.
import { describe, expect, it } from 'vitest';
import { defaultSeccomp } from '../../../src/sandbox/seccomp.ts';
import { readSeccompProfile } from '../../../src/sandbox/seccomp-profile.ts';

const here = { architecture: 'amd64', capabilities: ['CAP_CHOWN'], kernel: '5.10.0-33-amd64' };
const ALLOW = 'SCMP_ACT_ALLOW';
const read = (profile: object, surroundings = here) => readSeccompProfile(JSON.stringify(profile), surroundings);
const rule = (name: string, filters: object = {}) => ({
  names: [name],
  action: ALLOW,
  args: null,
  comment: '',
  includes: {},
  excludes: {},
  ...filters,
});

describe('a profile', () => {
  it('has the rules that include this machine and container, and not those that exclude them', () => {
    const { syscalls, architectures, defaultErrnoRet } = read({
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet: 1,
      archMap: [
        { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
        { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] },
      ],
      syscalls: [
        rule('always'),
        rule('arch', { includes: { arches: ['arm64', 'amd64'] } }),
        rule('otherArch', { includes: { arches: ['s390x'] } }),
        rule('notArch', { excludes: { arches: ['amd64'] } }),
        rule('cap', { includes: { caps: ['CAP_CHOWN'] } }),
        rule('bothCaps', { includes: { caps: ['CAP_CHOWN', 'CAP_SYS_ADMIN'] } }),
        rule('notCap', { excludes: { caps: ['CAP_SYS_ADMIN', 'CAP_CHOWN'] } }),
        rule('notOtherCap', { excludes: { caps: ['CAP_SYS_ADMIN'] } }),
        rule('old', { includes: { minKernel: '4.8' } }),
        rule('same', { includes: { minKernel: '5.10' } }),
        rule('new', { includes: { minKernel: '5.11' } }),
        rule('notNew', { excludes: { minKernel: '5.9' } }),
        { name: 'single', action: 'SCMP_ACT_ERRNO', errnoRet: 38, args: [{ index: 0, value: 1, op: 'SCMP_CMP_EQ' }] },
      ],
    });
    expect(syscalls.flatMap(({ names }) => names)).toEqual(['always', 'arch', 'cap', 'notOtherCap', 'old', 'same', 'single']);
    expect(architectures).toEqual(['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32']);
    expect(defaultErrnoRet).toBe(1);
    expect(syscalls.at(-1)).toEqual({
      names: ['single'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: 38,
      args: [{ index: 0, value: 1, op: 'SCMP_CMP_EQ' }],
    });
    expect(syscalls[0]).toEqual({ names: ['always'], action: ALLOW });
  });

  it('keeps numbers that JavaScript has not', () => {
    const text =
      '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["x"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":18446744073709551615,"op":"SCMP_CMP_EQ"}]}]}';
    expect(JSON.stringify(readSeccompProfile(text, here))).toContain('"value":18446744073709551615');
  });

  it.each([
    ['[]', 'it is no object'],
    ['{', 'decoding seccomp profile failed'],
    ['{}', 'it has no defaultAction'],
    [
      '{"defaultAction":"A","architectures":["B"],"archMap":[{"architecture":"C"}]}',
      "both 'architectures' and 'archMap' are specified",
    ],
    ['{"defaultAction":"A","syscalls":[{"name":"a","names":["b"],"action":"B"}]}', "both 'name' and 'names' are specified"],
    ['{"defaultAction":"A","syscalls":[{"names":["b"]}]}', 'a rule needs names and an action'],
    ['{"defaultAction":"A","syscalls":{}}', 'syscalls is no list'],
    ['{"defaultAction":"A","syscalls":[null]}', 'a rule is no object'],
    [
      '{"defaultAction":"A","syscalls":[{"names":["b"],"action":"B","includes":{"minKernel":"new"}}]}',
      'minKernel is no version of a kernel: new',
    ],
  ])('%s is refused', (text, why) => {
    expect(() => readSeccompProfile(text, here)).toThrow(why);
  });
});

describe('the default profile', () => {
  const allowed = (capabilities: string[]) =>
    defaultSeccomp('amd64', capabilities)
      .syscalls.filter(({ action, args }) => action === ALLOW && !args)
      .flatMap(({ names }) => names);

  it('allows what a capability is for', () => {
    expect(allowed([])).not.toContain('mount');
    expect(allowed(['CAP_SYS_ADMIN'])).toEqual(expect.arrayContaining(['mount', 'clone', 'clone3', 'setns']));
    expect(allowed(['CAP_SYS_TIME'])).toContain('clock_settime');
    expect(defaultSeccomp('amd64', ['CAP_SYS_ADMIN']).syscalls.filter(({ names }) => names[0] === 'clone3')).toEqual([]);
  });
});
