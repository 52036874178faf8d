// COPY and ADD → one step (BuildKit: dockerfile2llb/convert_copy.go). Where files come from has been decided;
// which files these are, the step finds out.

import path from 'node:path';
import { hasWildcards, parseGlob } from '../context/glob.ts';
import { compileExcludes, type IgnoreRules } from '../context/ignore.ts';
import { dockerfileError, locate } from '../dockerfile/errors.ts';
import type { AddInstruction, CopyInstruction, InlineFile } from '../dockerfile/instructions.ts';
import { expand } from '../dockerfile/words.ts';
import type { CopyOperation, RemoteOperation, StepId } from './graph.ts';
import { checkOwner, ownerOf } from './owner.ts';
import { copyDestination } from './paths.ts';
import { readRemote } from './remote.ts';
import type { StageState } from './stage-state.ts';
import type { PlannedInstruction } from './stages.ts';

/** A state, or a build context, whose files belong to root. */
export interface CopySource {
  readonly step: StepId | undefined;
  readonly isContext: boolean;
}

/** What a COPY from the build context does not get; undefined: it gets everything. Asked when there is such a COPY. */
export type Ignored = () => IgnoreRules | undefined;

export interface CopySources {
  /** Asked only when there is a path to look up: a COPY of heredocs alone needs no context. */
  readonly local: () => CopySource;
  /** A step that fetches. */
  readonly remote: (operation: RemoteOperation) => StepId;
  readonly ignored: Ignored;
}

export function planCopy(
  stage: StageState,
  planned: PlannedInstruction,
  instruction: AddInstruction | CopyInstruction,
  from: CopySources,
): void {
  const { places, kind } = instruction;
  const owner = instruction.owner === undefined ? '' : stage.expand(instruction.owner, places.flagValue('chown'));
  const mode = instruction.mode === undefined ? '' : stage.expand(instruction.mode, places.flagValue('chmod'));
  const sources = instruction.sources.map((source) => stage.expand(source, places.argumentReading(source)));
  const written = stage.expand(instruction.destination, places.lastArgument());
  const inline = instruction.inline.map((file) => {
    return locate(places.heredoc(file.name), () => ({ name: fileNameOf(file.name), content: contentOf(file, stage) }));
  });
  locate(places.flagValue('chmod'), () => checkMode(mode));
  const checksum = kind === 'add' && instruction.checksum !== undefined ? stage.expand(instruction.checksum) : '';
  const paths: string[] = [];
  const remotes: CopyOperation['remotes'][number][] = [];
  for (const [i, source] of sources.entries()) {
    const place = places.argumentReading(instruction.sources[i]!);
    const remote = locate(place, () => readRemote(instruction, source, checksum));
    if (remote !== undefined) remotes.push({ from: from.remote(remote), before: paths.length });
    else paths.push(locate(place, () => checkPattern(source)));
  }
  for (const [i, pattern] of instruction.exclude.entries()) {
    locate(places.flagValue('exclude', i), () => compileExcludes([pattern]));
  }
  if (planned.sources.length === 0) for (const one of paths) stage.checks.copySource(kind, one, from.ignored());

  // With a mode BuildKit copies as without --link.
  const link = instruction.link && mode === '';
  const isOnNothing = link || stage.state === undefined;
  locate(places.flagValue('chown'), () => checkOwner('--chown', owner, isOnNothing, link));
  const source = paths.length === 0 ? { step: undefined, isContext: true } : from.local();
  const parents = instruction.kind === 'copy' && instruction.parents;
  const op: CopyOperation = {
    kind: 'copy',
    add: instruction.kind === 'add',
    from: source.step,
    fromContext: source.isContext,
    paths,
    remotes,
    inline,
    destination: copyDestination(stage.workdir, written),
    owner: ownerOf(owner),
    mode: mode === '' ? undefined : mode,
    link,
    parents,
    exclude: instruction.exclude,
    unpack: instruction.kind === 'add' ? instruction.unpack : undefined,
  };
  const step = stage.addStep(planned, stage.describe(instruction.original), op);
  const words = [
    instruction.kind.toUpperCase(),
    ...(parents ? ['--parents'] : []),
    ...(owner === '' ? [] : [`--chown=${owner}`]),
    ...(mode === '' ? [] : [`--chmod=${mode}`]),
    ...sources,
    ...instruction.inline.map(({ name }) => `<<${name}`),
    written,
  ];
  stage.addHistory(`${words.join(' ')} # buildkit`, step);
}

/** A file at the root of an otherwise empty place: BuildKit makes it there, and copies it from there. */
function fileNameOf(delimiter: string): string {
  const name = path.posix.join('/', delimiter).slice(1);
  if (name !== '' && !name.includes('/')) return name;
  throw dockerfileError('heredoc', `a heredoc that is copied is a file of its name, and ${delimiter} cannot be one`);
}

/** In a heredoc quotes are nothing, and the escape character is always the backslash. */
function contentOf(file: InlineFile, stage: StageState): string {
  if (!file.expand) return file.content;
  return stage.checked(expand(file.content, stage.environment, { escapeToken: '\\', ignoreQuotes: true }));
}

function checkMode(mode: string): void {
  if (mode === '') return;
  const isOctal = /^[0-7]+$/.test(mode);
  if (isOctal ? Number.parseInt(mode, 8) <= 0o7777 : isSymbolicMode(mode)) return;
  throw dockerfileError(
    'chmod',
    `invalid chmod parameter: '${mode}'. it should be octal string and between 0 and 07777`,
    undefined,
    'or symbolic, as chmod(1) has it: u=rwX,go=rX',
  );
}

const isSymbolicMode = (mode: string): boolean =>
  mode.split(',').every((clause) => /^[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+$/.test(clause));

function checkPattern(source: string): string {
  if (!hasWildcards(source) || parseGlob(source) !== undefined) return source;
  throw dockerfileError('pattern', `syntax error in pattern: ${source}`);
}
