// What --cap-add and --cap-drop leave of Docker's capabilities.
import { expect, it } from 'vitest';
import { ALL_CAPABILITIES, changeCapabilities, DEFAULT_CAPABILITIES, needHost } from '../../../src/sandbox/capabilities.ts';

it('each is added or dropped, and ALL is all but what the other list says', () => {
  expect(changeCapabilities([], [])).toEqual(DEFAULT_CAPABILITIES);
  expect(changeCapabilities(['CAP_NET_ADMIN'], ['ALL'])).toEqual(['CAP_NET_ADMIN']);
  expect(changeCapabilities(['CAP_CHOWN', 'CAP_NET_ADMIN'], ['CAP_MKNOD'])).toHaveLength(DEFAULT_CAPABILITIES.length);
  expect(changeCapabilities(['ALL'], ['CAP_SYS_ADMIN'])).toHaveLength(ALL_CAPABILITIES.length - 1);
  expect(changeCapabilities(['ALL'], ['ALL'])).toHaveLength(ALL_CAPABILITIES.length);
});

it('some mean nothing but to the whole machine', () => {
  expect(needHost(['CAP_NET_ADMIN', 'CAP_SYS_ADMIN', 'CAP_SYS_PTRACE'])).toBe(false);
  expect(needHost(['CAP_SYS_TIME'])).toBe(true);
  expect(needHost(['ALL'])).toBe(true);
});
