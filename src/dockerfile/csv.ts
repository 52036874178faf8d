// One record of CSV (RFC 4180, as Go's encoding/csv reads it): what --mount and --device of RUN take, and the command's --output, --secret and the like.

import type { Span } from './errors.ts';

export interface RecordField {
  readonly text: string;
  /** Where in the record it stands. */
  readonly span: Span;
}

/** `refuse` says of the field with that number that a quote in it is stray, or missing. */
export function readRecord(text: string, refuse: (field: number) => Error): RecordField[] {
  const fields: RecordField[] = [];
  for (let position = 0; ; ) {
    const match = /^(?:"(?<quoted>(?:[^"]|"")*)"|(?<bare>[^",]*))(?<end>,|$)/s.exec(text.slice(position));
    if (match?.groups === undefined) throw refuse(fields.length + 1);
    const { quoted, bare, end } = match.groups;
    const next = position + match[0].length;
    fields.push({ text: quoted?.replaceAll('""', '"') ?? bare!, span: { start: position, end: next - end!.length } });
    position = next;
    if (end === '') return fields;
  }
}
