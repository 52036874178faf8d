// Debug lines: what a person reads with --debug to see why tbuild did what it did. Costs nothing while nobody listens.
// Never a secret, and never the only place where something is said.

import { channel } from 'node:diagnostics_channel';

/** Its messages are strings of one line. A program that uses the library may subscribe as the command line does. */
export const debugLines = channel('tbuild:debug');

export function debug(line: () => string): void {
  if (debugLines.hasSubscribers) debugLines.publish(line());
}
