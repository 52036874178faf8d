// resolv.conf, as --dns and its like change it.
import { expect, it } from 'vitest';
import { withDns } from '../../../src/sandbox/files.ts';

const host = '# of the host\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch lan\noptions ndots:5\n';
const dns = { servers: [], search: [], options: [] };

it('what is given takes the place of all of its kind', () => {
  expect(withDns(host)).toBe(host);
  expect(withDns(host, dns)).toBe(host);
  expect(withDns(host, { ...dns, servers: ['1.1.1.1', '::1'] })).toBe(
    '# of the host\nsearch lan\noptions ndots:5\nnameserver 1.1.1.1\nnameserver ::1\n',
  );
  expect(withDns(host, { ...dns, search: ['a', 'b'], options: ['rotate', 'ndots:1'] })).toBe(
    '# of the host\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch a b\noptions rotate ndots:1\n',
  );
  expect(withDns(host, { ...dns, search: ['.'] })).not.toContain('search');
});
