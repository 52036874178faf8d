// `tbuild parse`: what the parser makes of a Dockerfile, for people, or as JSON to compare with other parsers. Builds nothing, opens no store.

import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { TbuildError } from '../../base/errors.ts';
import type { DockerfileDescription, InstructionDescription } from '../../dockerfile/describe.ts';
import { defineCommand } from '../command.ts';
import { choosePaint, type Paint } from '../paint.ts';
import { cutToWidth, oneLine } from '../text.ts';

export const parse = defineCommand({
  name: 'parse',
  usage: '[OPTIONS] FILE | -',
  description: 'Show how a Dockerfile is read: instructions, arguments, heredocs, stages',
  positionals: [1, 1],
  flags: {
    json: { help: 'Print JSON, with the range of everything: lines from 1, columns from 0' },
  },
  run: async ({ flags, positionals, stdin, stdout, env }) => {
    const { describeDockerfile } = await import('../../dockerfile/describe.ts');
    const file = positionals[0]!;
    const { description, error } = describeDockerfile(await read(file, stdin), file === '-' ? 'Dockerfile' : file);
    if (flags.json) stdout.write(toJson(description));
    else stdout.write(show(description, stdout.isTTY ? stdout.columns : undefined, choosePaint(stdout, env)));
    if (error !== undefined) throw error;
    return 0;
  },
});

async function read(file: string, stdin: () => Readable): Promise<Uint8Array> {
  if (file === '-') return Buffer.concat(await stdin().toArray());
  try {
    return readFileSync(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const what = code === 'ENOENT' ? 'not-found' : 'unreadable';
    throw new TbuildError(`dockerfile/${what}`, `cannot read the Dockerfile ${file}: ${code}`, { cause });
  }
}

/** Ranges on one line, for there are many. */
function toJson(description: DockerfileDescription): string {
  const range = /\{\n\s*("startLine": \d+),\n\s*("startColumn": \d+),\n\s*("endLine": \d+),\n\s*("endColumn": \d+)\n\s*\}/g;
  return `${JSON.stringify(description, null, 2).replace(range, '{ $1, $2, $3, $4 }')}\n`;
}

/** Widths of the columns: lines, keyword. */
const lineWidth = 9;
const keywordWidth = 12;

/** Stage by stage, what belongs together under each other. */
function show(description: DockerfileDescription, columns: number | undefined, paint: Paint): string {
  const { instructions = [], stages = [], warnings = [], syntax } = description;
  const lines = syntax === undefined ? [] : [`syntax ${oneLine(syntax)}`, ''];
  let stage = 0;
  for (const [index, instruction] of instructions.entries()) {
    if (instruction.cmd === 'FROM') {
      if (index > 0) lines.push('');
      lines.push(paint('bold', headingOf(stages[stage], stage)));
      stage++;
    }
    lines.push(...showInstruction(instruction, paint));
  }
  if (warnings.length > 0) lines.push('', ...warnings.map((warning) => paint('warning', oneLine(warning))));
  return lines.map((line) => `${columns === undefined ? line : cutToWidth(line, columns)}\n`).join('');
}

function headingOf(stage: NonNullable<DockerfileDescription['stages']>[number] | undefined, index: number): string {
  if (stage === undefined || stage.Name === '') return `stage ${index}`;
  return `stage ${index}: ${oneLine(stage.Name)}`;
}

function showInstruction(instruction: InstructionDescription, paint: Paint): string[] {
  const { start_line: start, end_line: end, cmd, flags = [], heredocs = [] } = instruction;
  const lines = start === end ? `${start}` : `${start}-${end}`;
  const head = `${lines.padStart(lineWidth)}  `;
  const rows = [...flags, ...argumentRows(instruction)].map(oneLine);
  const indent = ' '.repeat(lineWidth + 2 + keywordWidth + 1);
  const shown = (rows.length === 0 ? [''] : rows).map((row, i) =>
    i === 0 ? `${paint('dim', head)}${paint('hint', cmd.padEnd(keywordWidth))} ${row}`.trimEnd() : indent + row,
  );
  const bodies = heredocs.flatMap(({ Name: name, Content: content, Expand: isExpanded }) => [
    `${indent}${paint('dim', `<<${oneLine(name)}${isExpanded ? '' : ', variables kept'}`)}`,
    ...content
      .split('\n')
      .slice(0, -1)
      .map((line) => `${indent}${paint('dim', '|')} ${oneLine(line)}`),
  ]);
  return [...shown, ...bodies];
}

/** One row for each pair, source or word; a command is one row. */
function argumentRows({ cmd, args, json_form: isJson }: InstructionDescription): string[] {
  if (cmd === 'HEALTHCHECK' && isJson) return [`${args[0]} ${JSON.stringify(args.slice(1))}`];
  if (isJson) return [JSON.stringify(args)];
  if (cmd !== 'ENV' && cmd !== 'LABEL') return args.length === 0 ? [] : [args.join(' ')];
  const rows: string[] = [];
  for (let i = 0; i < args.length; i += 3) rows.push(`${args[i]}=${args[i + 1]}`);
  return rows;
}
