// COPY and ADD → one step (BuildKit: dockerfile2llb/convert_copy.go). Where files come from has been decided;
// which files these are, the step finds out.

import { TbuildError } from '../base/errors.ts';
import { hasWildcards, parseGlob } from '../context/glob.ts';
import { compileExcludes, type IgnoreRules } from '../context/ignore.ts';
import { dockerfileError, locate } from '../dockerfile/errors.ts';
import type { AddInstruction, CopyInstruction, InlineFile } from '../dockerfile/instructions.ts';
import { expand } from '../dockerfile/words.ts';
import type { CopyOperation, Owner, StepId } from './graph.ts';
import { copyDestination } from './paths.ts';
import type { StageState } from './stage-state.ts';
import type { PlannedInstruction } from './stages.ts';

/** A state, or a build context, whose files belong to root. */
export interface CopySource {
  readonly step: StepId | undefined;
  readonly isContext: boolean;
}

/** What a COPY from the build context does not get; undefined: it gets everything. Asked when there is such a COPY. */
export type Ignored = () => IgnoreRules | undefined;

/** `resolveSource` is asked only when there is something to look up: a COPY of heredocs alone needs no context. */
export function planCopy(
  stage: StageState,
  planned: PlannedInstruction,
  instruction: AddInstruction | CopyInstruction,
  resolveSource: () => CopySource,
  ignored: Ignored,
): void {
  const { places, kind } = instruction;
  const owner = instruction.owner === undefined ? '' : stage.expand(instruction.owner, places.flagValue('chown'));
  const mode = instruction.mode === undefined ? '' : stage.expand(instruction.mode, places.flagValue('chmod'));
  const paths = instruction.sources.map((source) => stage.expand(source, places.argumentReading(source)));
  const written = stage.expand(instruction.destination, places.lastArgument());
  const inline = instruction.inline.map((file) => {
    return { name: file.name, content: locate(places.heredoc(file.name), () => contentOf(file, stage)) };
  });
  locate(places.flagValue('chmod'), () => checkMode(mode));
  for (const [i, path] of paths.entries()) {
    const place = places.argumentReading(instruction.sources[i]!);
    locate(
      () => place(),
      () => checkSource(instruction, path),
    );
  }
  if (kind === 'add' && instruction.checksum !== undefined) {
    throw dockerfileError('checksum', 'checksum requires HTTP(S) or Git sources', places.flagValue('checksum'));
  }
  for (const [i, pattern] of instruction.exclude.entries()) {
    locate(places.flagValue('exclude', i), () => compileExcludes([pattern]));
  }
  if (planned.sources.length === 0) for (const path of paths) stage.checks.copySource(kind, path, ignored());

  const source = paths.length === 0 ? { step: undefined, isContext: true } : resolveSource();
  const parents = instruction.kind === 'copy' && instruction.parents;
  const op: CopyOperation = {
    kind: 'copy',
    add: instruction.kind === 'add',
    from: source.step,
    fromContext: source.isContext,
    paths,
    inline,
    destination: copyDestination(stage.workdir, written),
    owner: ownerOf(owner),
    mode: mode === '' ? undefined : mode,
    // With a mode BuildKit copies as without --link.
    link: instruction.link && mode === '',
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
    ...paths,
    ...inline.map(({ name }) => `<<${name}`),
    written,
  ];
  stage.addHistory(`${words.join(' ')} # buildkit`, step);
}

/** In a heredoc quotes are nothing, and the escape character is always the backslash. */
function contentOf(file: InlineFile, stage: StageState): string {
  if (!file.expand) return file.content;
  return stage.checked(expand(file.content, stage.environment, { escapeToken: '\\', ignoreQuotes: true }));
}

function ownerOf(written: string): Owner | undefined {
  if (written === '') return undefined;
  const colon = written.indexOf(':');
  if (colon < 0) return { user: written, group: undefined };
  return { user: written.slice(0, colon), group: written.slice(colon + 1) };
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

function checkSource({ kind, original }: AddInstruction | CopyInstruction, source: string): void {
  const isGit = isGitSource(source);
  if (isGit || /^https?:\/\//.test(source)) {
    if (kind === 'copy') {
      throw dockerfileError(
        'remote-source',
        `source can't be a ${isGit ? 'git ref' : 'URL'} for COPY: ${withoutSecrets(source)}`,
        undefined,
        'ADD takes it',
      );
    }
    throw new TbuildError('unsupported/add-remote', `ADD of a remote source is not supported yet: ${withoutSecrets(source)}`, {
      hint: `download it in a RUN, or into the build context before the build${original.includes('--checksum') ? ', and check its checksum there' : ''}`,
    });
  }
  if (hasWildcards(source) && parseGlob(source) === undefined) {
    throw dockerfileError('pattern', `syntax error in pattern: ${source}`);
  }
}

/** What git clones: its own protocols, `user@host:path`, and http(s) where the path ends in .git (BuildKit: dfgitutil). */
function isGitSource(source: string): boolean {
  if (/^(?:git|ssh):\/\//.test(source)) return true;
  if (/^https?:\/\/[^?#]*\.git(?:[?#]|$)/.test(source)) return true;
  return /^[a-zA-Z0-9-]+@[a-zA-Z0-9.-]+:/.test(source);
}

const withoutSecrets = (url: string): string => url.replace(/^([a-z]+:\/\/)[^/@]*@/, '$1').replace(/[?].*$/s, '');
