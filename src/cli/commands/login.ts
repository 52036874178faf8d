// `tbuild login`: who the user is to a registry, tried and kept.

import { TbuildError } from '../../base/errors.ts';
import { defineCommand, type Invocation } from '../command.ts';
import type { FlagTable } from '../flags.ts';
import { interruptible } from '../interruption.ts';
import { promptLine, type Terminal } from '../prompt.ts';

const flagTable = {
  password: { short: 'p', value: 'string', help: 'Password' },
  'password-stdin': { help: 'Take the password from stdin' },
  username: { short: 'u', value: 'string', help: 'Username' },
} as const satisfies FlagTable;

export const login = defineCommand({
  name: 'login',
  usage: '[OPTIONS] [SERVER]',
  description: 'Log in to a registry (Docker Hub where none is named)',
  positionals: [0, 1],
  flags: flagTable,
  run: async (invocation) => {
    const { positionals, library, stdout, stderr } = invocation;
    const [server] = positionals;
    const credentials = await readCredentials(invocation);
    const { file } = await interruptible((signal) =>
      library.login({ signal, ...(server !== undefined && { server }), ...(credentials && { credentials }) }),
    );
    if (file !== undefined) {
      stderr.write(
        `WARNING! Your credentials are stored unencrypted in '${file}'.\nA credential helper (credsStore there) keeps them better.\n`,
      );
    }
    stdout.write('Login Succeeded\n');
    return 0;
  },
});

/** Undefined: those that are known already are tried, as nothing was said. */
async function readCredentials({ flags, positionals: [server], library, stdin, stdout, stderr }: Invocation<typeof flagTable>) {
  const { username, password, 'password-stdin': isPiped } = flags;
  if (isPiped && password !== undefined)
    throw new TbuildError('usage/conflict', '--password and --password-stdin are mutually exclusive');
  if (isPiped && !username) throw new TbuildError('usage/conflict', '--password-stdin needs --username');
  if (password !== undefined) stderr.write('WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n');
  if (username && isPiped) return checked(username, await readPassword(stdin()));
  if (username && password !== undefined) return checked(username, password);
  if (!username && password === undefined && (await library.isLoginKnown(server))) {
    stdout.write('Authenticating with existing credentials...\n');
    return undefined;
  }
  const terminal: Terminal = stdin();
  if (!terminal.isTTY) {
    throw new TbuildError('usage/terminal', 'cannot perform an interactive login from a non TTY device', {
      hint: 'give --username and --password-stdin',
    });
  }
  const user = username || (await promptLine('Username: ', terminal, stdout, false));
  return checked(user, password ?? (await promptLine('Password: ', terminal, stdout, true)));
}

function checked(user: string, password: string) {
  if (user === '') throw new TbuildError('usage/bad-value', 'the username is empty');
  if (user.includes(':')) throw new TbuildError('usage/bad-value', 'a username has no colon');
  if (password === '') throw new TbuildError('usage/bad-value', 'the password is empty');
  return { user, password };
}

/** Without the line's end; a password of more than a line would be something else. */
async function readPassword(stdin: AsyncIterable<Buffer | string>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stdin) {
    chunks.push(Buffer.from(chunk));
    if (chunks.reduce((sum, { length }) => sum + length, 0) > 1 << 20)
      throw new TbuildError('usage/bad-value', 'the password is too long');
  }
  return Buffer.concat(chunks)
    .toString()
    .replace(/\r?\n$/, '');
}
