// The flags of `stop` and `restart`.

import type { StopOptions } from '../../containers/act.ts';
import type { FlagTable, FlagValues } from '../flags.ts';
import { parseSeconds, parseStopSignal } from './lifecycle.ts';

export const stopFlags = {
  signal: { short: 's', value: 'string', help: 'Signal to send to the container' },
  timeout: { short: 't', value: 'int', help: 'Seconds to wait before killing the container' },
  /** Its name before docker 28. */
  time: { value: 'int', hidden: true, help: 'Seconds to wait before killing the container' },
} as const satisfies FlagTable;

export function stopOptions({ signal, timeout, time }: FlagValues<typeof stopFlags>): StopOptions {
  const seconds = timeout ?? time;
  return {
    signal: signal === undefined ? undefined : parseStopSignal(signal),
    timeoutSeconds: seconds === undefined ? undefined : parseSeconds('--timeout', seconds),
  };
}
