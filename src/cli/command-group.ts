// A command that is several: `tbuild imagetools inspect`. Each of them is a command of its own, named by both words.

import { exitCodeOf } from '../base/error-object.ts';
import { TbuildError } from '../base/errors.ts';
import type { Command } from './command.ts';
import { nearest } from './nearest.ts';
import { reportError } from './report-error.ts';

/** `load`: for a member that is loaded when it is called. */
export type GroupMember = { readonly summary: string } & (
  | { readonly command: Command }
  | { readonly load: () => Promise<Command> }
);

export function defineGroup(name: string, description: string, members: Readonly<Record<string, GroupMember>>): Command {
  const rows = Object.entries(members).map(([member, { summary }]) => `  ${member.padEnd(10)} ${summary}\n`);
  const text = `Usage:  tbuild ${name} COMMAND\n\n${description}\n\nCommands:\n${rows.join('')}\nRun tbuild ${name} COMMAND --help for more on one.\n`;
  const start: Command['start'] = async (args, surroundings, isDebug) => {
    const { stdout, stderr, env } = surroundings;
    const [word, ...rest] = args;
    if (word === undefined || word === '--help' || word === '-h') {
      stdout.write(text);
      return 0;
    }
    if (Object.hasOwn(members, word)) {
      const member = members[word] as GroupMember;
      const command = 'load' in member ? await member.load() : member.command;
      return command.start(rest, surroundings, isDebug);
    }
    const meant = nearest(word, Object.keys(members));
    const hint = meant ? `did you mean tbuild ${name} ${meant}?` : `it has ${Object.keys(members).join(', ')}`;
    const error = new TbuildError('usage/unknown-command', `tbuild ${name} has no command "${word}"`, { hint });
    reportError(error, { stderr, env, isDebug });
    return exitCodeOf(error);
  };
  return { help: () => text, start };
}
