// What holds a plan's sources to what they once were: names that may move become digests and commits before anybody is asked. Types only.

import type { RemoteOperation } from './graph.ts';

export interface Pins {
  /** A normalised reference, with a digest where one is known for it. */
  image(reference: string): string;
  remote(operation: RemoteOperation): RemoteOperation;
}
