// `# name what it is for` above a FROM or an ARG: what --call=targets and --call=outline say of it (BuildKit: instructions/parse.go, getComment).

export function describe(comments: readonly string[], name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  const found = comments.find((comment) => comment.startsWith(`${name} `));
  return found?.slice(name.length + 1) || undefined;
}
