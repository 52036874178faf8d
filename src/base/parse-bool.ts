// The words for true and false that docker, buildx and BuildKit take wherever one is written: those of Go's strconv.ParseBool. Pure.

/** Undefined: it is neither; whoever asked says what that means. */
export function parseBool(text: string): boolean | undefined {
  if (/^(?:1|t|T|true|TRUE|True)$/.test(text)) return true;
  return /^(?:0|f|F|false|FALSE|False)$/.test(text) ? false : undefined;
}
