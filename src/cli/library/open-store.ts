// The store as a command has it: opened for one call, and closed again. What opens it is loaded then.

import type { Records } from '../../images/records.ts';
import type { Images } from '../../images/store.ts';
import type { Workplace } from '../../snapshots/workplace.ts';

/** For who only looks, or changes records. */
export async function withRecords<T>(act: (records: Records) => T | Promise<T>): Promise<T> {
  const { openRecords } = await import('../../images/records.ts');
  const records = openRecords();
  try {
    return await act(records);
  } finally {
    records.store.close();
  }
}

/** With the helper, for who touches files. */
export async function withWorkplace<T>(act: (opened: { place: Workplace; images: Images }) => Promise<T>): Promise<T> {
  const [{ openWorkplace }, { fetchLater }, { Images }] = await Promise.all([
    import('../../snapshots/workplace.ts'),
    import('../../cache/fetch-later.ts'),
    import('../../images/store.ts'),
  ]);
  const place = await openWorkplace(undefined, fetchLater());
  try {
    return await act({ place, images: new Images(place.store, place.layers) });
  } finally {
    await place.close();
  }
}
