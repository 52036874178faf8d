// Paragraphs of `Field: value` lines, as dpkg's status, apk's installed and Python's METADATA have them. Of a value of several lines only the first
// is taken: nothing that is asked for here has more.

export interface Stanza {
  /** The first value of a field, without blanks around it; undefined: it has none. */
  first(field: string): string | undefined;
  all(field: string): readonly string[];
}

export function* readStanzas(text: string): Generator<Stanza> {
  let fields = new Map<string, string[]>();
  for (let start = 0; start < text.length; ) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    const line = text.slice(start, end).trimEnd();
    start = end + 1;
    if (line !== '') addLine(fields, line);
    else if (fields.size > 0) {
      yield stanzaOf(fields);
      fields = new Map();
    }
  }
  if (fields.size > 0) yield stanzaOf(fields);
}

function addLine(fields: Map<string, string[]>, line: string): void {
  const colon = line.indexOf(':');
  if (colon < 1 || line.startsWith(' ') || line.startsWith('\t')) return;
  const name = line.slice(0, colon);
  const value = line.slice(colon + 1).trim();
  const known = fields.get(name);
  if (known) known.push(value);
  else fields.set(name, [value]);
}

function stanzaOf(fields: ReadonlyMap<string, readonly string[]>): Stanza {
  const all = (field: string) => fields.get(field) ?? [];
  return { first: (field) => all(field)[0] || undefined, all };
}
