// A build check's finding, of a rule in rules.ts.

import type { Location } from '../base/errors.ts';

export interface Warning {
  readonly rule: string;
  readonly description: string;
  readonly message: string;
  readonly url: string | undefined;
  readonly where: Location;
}
