// Lists of NAME=value, as image configs keep the environment.

export function envMap(list: readonly string[]): Map<string, string> {
  return new Map(list.map(splitPair));
}

/** A list that grows; a name that is there keeps its place. */
export class EnvList {
  readonly entries: string[];
  private readonly places = new Map<string, number>();

  constructor(entries: readonly string[]) {
    this.entries = [...entries];
    // Of two entries of one name the first is the one that is set (BuildKit: addEnv).
    for (const [place, entry] of entries.entries()) {
      const [name] = splitPair(entry);
      if (!this.places.has(name)) this.places.set(name, place);
    }
  }

  has(name: string): boolean {
    return this.places.has(name);
  }

  set(name: string, value: string): void {
    const place = this.places.get(name) ?? this.entries.length;
    this.places.set(name, place);
    this.entries[place] = `${name}=${value}`;
  }
}

function splitPair(entry: string): [name: string, value: string] {
  const equals = entry.indexOf('=');
  return equals < 0 ? [entry, ''] : [entry.slice(0, equals), entry.slice(equals + 1)];
}
