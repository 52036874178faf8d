// Lists of NAME=value, as image configs keep the environment.

export function envMap(list: readonly string[]): Map<string, string> {
  return new Map(list.map(splitPair));
}

/** A name that is there keeps its place. */
export function addEnv(list: readonly string[], name: string, value: string): string[] {
  const at = list.findIndex((entry) => splitPair(entry)[0] === name);
  return at < 0 ? [...list, `${name}=${value}`] : list.with(at, `${name}=${value}`);
}

function splitPair(entry: string): [name: string, value: string] {
  const equals = entry.indexOf('=');
  return equals < 0 ? [entry, ''] : [entry.slice(0, equals), entry.slice(equals + 1)];
}
