// One record of CSV (RFC 4180, as Go's encoding/csv reads it): what --mount and --device of RUN take.

import type { Span } from './errors.ts';

export interface RecordField {
  readonly text: string;
  /** Where in the record it stands. */
  readonly span: Span;
}

/** Undefined: a quote that is stray, or missing. */
export function readRecord(text: string): RecordField[] | undefined {
  const fields: RecordField[] = [];
  for (let position = 0; ; ) {
    const match = /^(?:"(?<quoted>(?:[^"]|"")*)"|(?<bare>[^",]*))(?<end>,|$)/s.exec(text.slice(position));
    if (match?.groups === undefined) return undefined;
    const { quoted, bare, end } = match.groups;
    const next = position + match[0].length;
    fields.push({ text: quoted?.replaceAll('""', '"') ?? bare!, span: { start: position, end: next - end!.length } });
    position = next;
    if (end === '') return fields;
  }
}

/** strconv.ParseBool. */
export function readBoolean(value: string): boolean | undefined {
  if (/^(?:1|t|T|true|TRUE|True)$/.test(value)) return true;
  return /^(?:0|f|F|false|FALSE|False)$/.test(value) ? false : undefined;
}
