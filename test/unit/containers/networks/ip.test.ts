// Addresses and subnets as numbers.
import { describe, expect, test } from 'vitest';
import {
  contains,
  formatAddress,
  formatSubnet,
  hostRange,
  meet,
  networkOf,
  parseAddress,
  parseSubnet,
  type Subnet,
} from '../../../../src/containers/networks/ip.ts';

const subnet = (text: string) => parseSubnet(text) as Subnet;

describe('addresses', () => {
  test.each([
    '0.0.0.0',
    '10.89.0.1',
    '255.255.255.255',
    '::',
    '::1',
    'fd00::2',
    '2001:db8::1:0:0:1',
    'fe80::1ff:fe23:4567:890a',
  ])('%s is read and written', (text) => expect(formatAddress(parseAddress(text)!)).toBe(text));

  test('many ways to write one are one', () => {
    expect(parseAddress('2001:DB8:0:0:0:0:0:1')).toEqual(parseAddress('2001:db8::1'));
    expect(parseAddress('::ffff:10.0.0.1')?.value).toBe(0xffff0a000001n);
  });

  test.each(['', '10.0.0', '10.0.0.256', '010.0.0.1', '1:2', 'fe80::1%eth0', 'name', ':::'])('%j is none', (text) =>
    expect(parseAddress(text)).toBeUndefined());
});

describe('subnets', () => {
  test.each(['10.0.0.0', '10.0.0.0/', '10.0.0.0/33', 'fd00::/129', '/8', '10.0.0.0/8/9', '10.0.0.0/-1'])('%j is none', (text) =>
    expect(parseSubnet(text)).toBeUndefined());

  test('have a network, and addresses for machines', () => {
    expect(formatSubnet(networkOf(subnet('10.1.2.3/24')))).toBe('10.1.2.0/24');
    const { first, last } = hostRange(subnet('10.1.2.0/24'));
    expect([first, last].map((value) => formatAddress({ family: 4, value }))).toEqual(['10.1.2.1', '10.1.2.254']);
  });

  test('hold addresses of their family', () => {
    expect(contains(subnet('10.1.0.0/16'), parseAddress('10.1.255.255')!)).toBe(true);
    expect(contains(subnet('10.1.0.0/16'), parseAddress('10.2.0.0')!)).toBe(false);
    expect(contains(subnet('::/0'), parseAddress('10.1.0.0')!)).toBe(false);
  });

  test('meet where one is in the other', () => {
    expect(meet(subnet('10.0.0.0/8'), subnet('10.9.8.0/24'))).toBe(true);
    expect(meet(subnet('10.9.8.0/24'), subnet('10.0.0.0/8'))).toBe(true);
    expect(meet(subnet('10.9.8.0/24'), subnet('10.9.9.0/24'))).toBe(false);
    expect(meet(subnet('0.0.0.0/0'), subnet('::/0'))).toBe(false);
  });
});
