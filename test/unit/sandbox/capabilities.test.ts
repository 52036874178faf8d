// What --cap-add and --cap-drop leave of Docker's capabilities.
import { expect, it } from 'vitest';
import {
  ALL_CAPABILITIES,
  changeCapabilities,
  DEFAULT_CAPABILITIES,
  givableCapabilities,
  needHost,
} from '../../../src/sandbox/capabilities.ts';

it('each is added or dropped, and ALL is all but what the other list says', () => {
  expect(changeCapabilities([], [])).toEqual(DEFAULT_CAPABILITIES);
  expect(changeCapabilities(['CAP_NET_ADMIN'], ['ALL'])).toEqual(['CAP_NET_ADMIN']);
  expect(changeCapabilities(['CAP_CHOWN', 'CAP_NET_ADMIN'], ['CAP_MKNOD'])).toHaveLength(DEFAULT_CAPABILITIES.length);
  const all = givableCapabilities();
  expect(all.every((name) => ALL_CAPABILITIES.includes(name.slice('CAP_'.length)))).toBe(true);
  expect(changeCapabilities(['ALL'], ['CAP_CHOWN'])).toEqual(all.filter((name) => name !== 'CAP_CHOWN'));
  expect(changeCapabilities(['ALL'], ['ALL'])).toEqual(all);
});

it('some mean nothing but to the whole machine', () => {
  expect(needHost(['CAP_NET_ADMIN', 'CAP_SYS_ADMIN', 'CAP_SYS_PTRACE'])).toBe(false);
  expect(needHost(['CAP_SYS_TIME'])).toBe(true);
  expect(needHost(['ALL'])).toBe(true);
});
