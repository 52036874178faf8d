// `skip=A,B;error=true;experimental=C`: the value of `# check=`, of such a comment above an instruction, and of the build argument
// BUILDKIT_DOCKERFILE_CHECK (BuildKit: linter.ParseLintOptions). Names of rules that are not known are not looked for.

import { parseBool } from '../base/parse-bool.ts';
import { dockerfileError } from './errors.ts';
import { quote, trimSpace } from './go-text.ts';

export interface CheckOptions {
  readonly skip: Names;
  readonly experimental: Names;
  /** Undefined: not said. */
  readonly error: boolean | undefined;
}

export interface Names {
  readonly all: boolean;
  readonly listed: ReadonlySet<string>;
}

const none: Names = { all: false, listed: new Set() };
export const noOptions: CheckOptions = { skip: none, experimental: none, error: undefined };

export function parseCheckOptions(value: string): CheckOptions {
  let options = noOptions;
  if (trimSpace(value) === '') return options;
  for (const part of value.split(';')) {
    const equals = part.indexOf('=');
    if (equals < 0) throw wrong(`invalid check option ${quote(part)}`);
    const key = trimSpace(part.slice(0, equals));
    const text = trimSpace(part.slice(equals + 1));
    if (key === 'skip' || key === 'experimental') options = { ...options, [key]: readNames(text) };
    else if (key === 'error') options = { ...options, error: readBoolean(text, part) };
    else throw wrong(`invalid check option ${quote(key)}`);
  }
  return options;
}

function readNames(text: string): Names {
  return text === 'all' ? { all: true, listed: new Set() } : { all: false, listed: new Set(text.split(',').map(trimSpace)) };
}

function readBoolean(text: string, part: string): boolean {
  const value = parseBool(text);
  if (value !== undefined) return value;
  throw wrong(`failed to parse check option ${quote(part)}: ${quote(text)} is neither true nor false`);
}

const wrong = (message: string) =>
  dockerfileError(
    'check',
    `failed to parse check options: ${message}`,
    undefined,
    'as in check=skip=UndefinedVar,StageNameCasing;error=true',
  );
