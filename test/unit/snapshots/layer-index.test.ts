// What an index holds is told apart byte by byte, also where it is no text.
import { expect, test } from 'vitest';
import { LayerIndex } from '../../../src/snapshots/layer-index.ts';
import { indexFile } from '../../support/index-file.ts';

test('names of extended attributes that are no UTF-8 are each their own', () => {
  const bytes = indexFile({ file: { text: '', xattrs: { 'user.aa': '1', 'user.bb': '2' } } });
  const at = bytes.indexOf('user.aa');
  Buffer.from([0xff, 0xfe]).copy(bytes, at + 5);
  Buffer.from([0xff, 0xfd]).copy(bytes, bytes.indexOf('user.bb') + 5);
  const names = Object.keys(new LayerIndex(bytes, 'test').find('file')?.xattrs ?? {});
  expect(names).toEqual(['user.\udcff\udcfe', 'user.\udcff\udcfd']);
});
