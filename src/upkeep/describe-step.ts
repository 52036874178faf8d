// A step record as the instruction that somebody wrote, in one line, as far as the record has it.

type Fields = Readonly<Record<string, unknown>>;

/** `record`: as the store keeps it. */
export function describeStep(record: string): string {
  const step = JSON.parse(record) as Fields;
  switch (step.kind) {
    case 'run':
      return `RUN ${commandOf(step)}`;
    case 'copy':
      return [step.add ? 'ADD' : 'COPY', ...texts(step.paths), ...inlineNames(step), String(step.destination)].join(' ');
    case 'workdir':
      return `WORKDIR ${String(step.path)}`;
    case 'tree':
      return 'files for a bind mount';
    case 'date':
      return 'a layer with a fixed time';
    default:
      return String(step.kind);
  }
}

/** The shell that everybody has is not said; a heredoc's lines are. */
function commandOf({ args, pipes }: Fields): string {
  const [shell = '', flag, ...rest] = texts(args);
  const command = shell === '/bin/sh' && flag === '-c' ? rest : texts(args);
  const heredocs = Array.isArray(pipes) && pipes.length > 0 ? ' (with a heredoc)' : '';
  return `${command.join(' ').replace(/\s*\n\s*/g, ' ')}${heredocs}`;
}

/** Files that stand in the Dockerfile itself. */
function inlineNames({ inline }: Fields): string[] {
  return Array.isArray(inline) ? inline.map(({ name }: { name?: unknown }) => `<<${String(name)}`) : [];
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map((each) => (typeof each === 'string' ? each : JSON.stringify(each))) : [];
}
