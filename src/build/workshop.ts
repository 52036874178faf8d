// What steps work with, from a process's hold on a store.

import type { Workplace } from '../snapshots/workplace.ts';
import type { Workshop } from '../steps/step.ts';

export function workshopOf(workplace: Workplace, times: Workshop['times'], findMount?: Workshop['findMount']): Workshop {
  const { store, serve, layers, driver } = workplace;
  const newPath = () => workplace.newPath();
  return { db: store.db, serve, layers, driver: driver.driver, newPath, storePath: store.path, times, findMount };
}
