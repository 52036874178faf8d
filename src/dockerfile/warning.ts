// A build check's finding. BuildKit: frontend/dockerfile/linter/ruleset.go names the rules.

import type { Location } from '../base/errors.ts';

export interface Warning {
  readonly rule: string;
  readonly message: string;
  readonly url: string | undefined;
  readonly where: Location;
}
