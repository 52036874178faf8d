// `RUN --mount=type=ssh`: a real ssh-agent, and keys in files, as a client in the container sees them: it may list keys and sign, no more.

import { execFileSync, spawn } from 'node:child_process';
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { type Built, build } from '../support/events.ts';
import { errorOf, outputOf } from '../support/output.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild } from '../support/tbuild.ts';

/** Asks the agent for its keys, for a signature by each, and for what it must refuse. Each on a connection of its own. */
const client = `
use strict; use IO::Socket::UNIX;
sub ask {
  my $s = IO::Socket::UNIX->new(Peer => $ENV{SSH_AUTH_SOCK}) or die "cannot connect to $ENV{SSH_AUTH_SOCK}: $!";
  print $s $_[0]; $s->flush; $s->shutdown(1);
  local $/; my $answer = <$s>; return length($answer) > 4 ? substr($answer, 4) : "\\0";
}
sub message { return pack("N/a*", $_[0]) }
my $list = ask(message(chr 11));
my ($n, $rest) = (unpack("N", substr($list, 1, 4)), substr($list, 5));
for (1..$n) {
  my ($blob, $comment) = unpack("N/a* N/a*", $rest);
  $rest = substr($rest, 8 + length($blob) + length($comment));
  my ($type, $signature) = unpack("C N/a*", ask(message(chr(13).pack("N/a* N/a* N", $blob, "data", 4))));
  print join(" ", "key", unpack("H*", $blob), $type, unpack("H*", $signature // "")), "\\n";
}
print "sign with another: ", ord ask(message(chr(13).pack("N/a* N/a* N", "another", "data", 0))), "\\n";
print "$_: ", ord ask(message(chr $_)), "\\n" for (17, 19, 22, 23, 25, 27, 200);
print "rubbish: ", ord ask("\\xff" x 100), "\\n";
print "two at once: ", length ask(message(chr 19).message(chr 19)), "\\n";
`;

const refusals = [17, 19, 22, 23, 25, 27, 200].map((request) => `${request}: 5`);

let store: string;
let folder: string;
let clientFolder: string;
let agent: ReturnType<typeof spawn>;
let socket: string;

beforeAll(async () => {
  store = freshStore();
  folder = makeContext({ rubbish: 'no key\n' });
  clientFolder = makeContext({ 'client.pl': client });
  const make = (name: string, ...options: string[]) =>
    execFileSync('ssh-keygen', ['-q', '-C', 'me@here', '-f', path.join(folder, name), ...options]);
  for (const type of ['ed25519', 'rsa', 'ecdsa']) make(type, '-N', '', '-t', type);
  make('p521', '-N', '', '-t', 'ecdsa', '-b', '521');
  make('pem', '-N', '', '-t', 'rsa', '-m', 'PEM');
  make('locked', '-N', 'passphrase', '-t', 'ed25519');
  make('locked-pem', '-N', 'passphrase', '-t', 'rsa', '-m', 'PEM');
  socket = path.join(folder, 'socket');
  agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
  await vi.waitFor(() => expect(existsSync(socket)).toBe(true));
  execFileSync('ssh-add', ['-q', path.join(folder, 'ed25519')], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
});

afterAll(() => {
  agent.kill();
});

async function run(instructions: string, flags: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Built> {
  const context = makeContext({ Dockerfile: `FROM debian:12\n${instructions}\n` });
  return build([...flags, '--build-context', `client=${clientFolder}`, context], {
    store,
    env: { SSH_AUTH_SOCK: undefined, ...env },
  });
}

const ask = (options = '') =>
  `RUN --mount=from=client,target=/client --mount=type=ssh${options} perl /client/client.pl # ${options}`;

/** Names of the keys that were listed, each with a good signature of `data`. */
function checkedKeys(output: string, names: readonly string[]): string[] {
  const listed = output.split('\n').filter((line) => line.startsWith('key '));
  return listed.map((line) => {
    const [, blob = '', type, signature = ''] = line.split(' ');
    expect(type).toBe('14');
    const name = names.find((one) => publicBlob(one).toString('hex') === blob) as string;
    expect(isSignature(name, Buffer.from(signature, 'hex')), name).toBe(true);
    return name;
  });
}

const publicBlob = (name: string) =>
  Buffer.from(execFileSync('cat', [path.join(folder, `${name}.pub`)], { encoding: 'utf8' }).split(' ')[1] as string, 'base64');

function isSignature(name: string, signature: Buffer): boolean {
  const [type, value] = fields(signature) as [Buffer, Buffer];
  const file = path.join(folder, `${name}.pub`);
  const key = createPublicKey(execFileSync('ssh-keygen', ['-e', '-m', 'PKCS8', '-f', file]));
  if (type.toString() === 'rsa-sha2-512') return verify('sha512', Buffer.from('data'), key, value);
  const hash = { 'ecdsa-sha2-nistp256': 'sha256', 'ecdsa-sha2-nistp521': 'sha512' }[type.toString()];
  return hash ? isEcdsa(hash, key, value) : false;
}

function isEcdsa(hash: string, key: KeyObject, value: Buffer): boolean {
  const size = hash === 'sha256' ? 32 : 66;
  const padded = fields(value).map((number) => Buffer.concat([Buffer.alloc(size), number]).subarray(-size));
  return verify(hash, Buffer.from('data'), { key, dsaEncoding: 'ieee-p1363' }, Buffer.concat(padded));
}

function fields(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32BE(at);
    found.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return found;
}

describe('an agent', () => {
  it('of this session lists and signs, and does nothing else', async () => {
    const built = await run(ask(), ['--ssh', 'default'], { SSH_AUTH_SOCK: socket });
    expect(built.code, built.stderr).toBe(0);
    const output = outputOf(built, 'RUN');
    expect(output.match(/^key /gm)).toHaveLength(1);
    expect(output).toContain(publicBlob('ed25519').toString('hex'));
    expect(output.split('\n').slice(1)).toEqual(['sign with another: 5', ...refusals, 'rubbish: 0', 'two at once: 6']);
    // It still has its key.
    expect(execFileSync('ssh-add', ['-l'], { env: { ...process.env, SSH_AUTH_SOCK: socket }, encoding: 'utf8' })).toContain(
      'me@here',
    );
  });

  it('may be named by its socket, under another id, twice', async () => {
    const mounts = '--mount=type=ssh,id=a --mount=type=ssh,id=a,target=/tmp/here,mode=0666,uid=3,gid=4';
    const built = await run(
      `RUN ${mounts} echo $SSH_AUTH_SOCK && stat -c "%n %F %a %u:%g" /run/buildkit/* /tmp/here\nRUN ls -d /run/buildkit /tmp/here 2>&1 || echo $SSH_AUTH_SOCK-`,
      ['--ssh', `a=${socket}`],
    );
    expect(outputOf(built, 'stat')).toBe(
      '/run/buildkit/ssh_agent.0\n/run/buildkit/ssh_agent.0 socket 600 0:0\n/tmp/here socket 666 3:4',
    );
    expect(outputOf(built, 'RUN ls').split('\n').at(-1)).toBe('-');
  });

  it('whose end is gone fails every request, and the build goes on', async () => {
    const dead = path.join(makeContext({}), 'dead');
    const short = spawn('ssh-agent', ['-D', '-a', dead], { stdio: 'ignore' });
    await vi.waitFor(() => expect(existsSync(dead)).toBe(true));
    short.kill('SIGKILL');
    const built = await run(ask(), ['--ssh', `default=${dead}`, '--no-cache']);
    expect(built.code, built.stderr).toBe(0);
    expect(outputOf(built, 'RUN')).not.toContain('key ');
  });
});

describe('keys in files', () => {
  it('are listed, and sign', async () => {
    const names = ['rsa', 'ecdsa', 'p521', 'pem'];
    const files = names.map((name) => path.join(folder, name)).join(',');
    const built = await run(ask(',id=files'), ['--ssh', `files=${files},${path.join(folder, 'ed25519')}`]);
    expect(built.code, built.stderr).toBe(0);
    const output = outputOf(built, 'RUN');
    const lines = output.split('\n');
    expect(checkedKeys(lines.slice(0, 4).join('\n'), names)).toEqual(names);
    const [, blob, type, signature = ''] = (lines[4] as string).split(' ');
    expect([blob, type]).toEqual([publicBlob('ed25519').toString('hex'), '14']);
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: publicBlob('ed25519').subarray(-32).toString('base64url') };
    const key = createPublicKey({ key: jwk, format: 'jwk' });
    expect(verify(null, Buffer.from('data'), key, Buffer.from(signature, 'hex').subarray(-64))).toBe(true);
    expect(lines.slice(5)).toEqual(['sign with another: 5', ...refusals, 'rubbish: 0', 'two at once: 6']);
  });

  it.each([
    ['locked', 'is protected by a passphrase', 'ssh-add'],
    ['locked-pem', 'is protected by a passphrase', 'ssh-add'],
    ['rubbish', 'is neither the socket of an SSH agent nor a private key', 'Ed25519'],
    ['ed25519.pub', 'is neither the socket of an SSH agent nor a private key', 'Ed25519'],
    ['nowhere', 'ENOENT', ''],
  ])('that cannot be used are said before anything runs: %s', async (name, says, hint) => {
    const { code, stderr } = await tbuild([
      'build',
      '--ssh',
      `default=${path.join(folder, name)}`,
      makeContext({ Dockerfile: 'FROM scratch' }),
    ]);
    expect(code).toBe(2);
    expect(stderr).toContain(says);
    expect(stderr).toContain(hint);
  });

  it('are in no layer, no log and no event', async () => {
    const built = await run(ask(',id=one'), ['--ssh', `one=${path.join(folder, 'ed25519')}`, '--no-cache']);
    const secret = execFileSync('sed', ['-n', '2,4p', path.join(folder, 'ed25519')], { encoding: 'utf8' }).split(
      '\n',
    )[1] as string;
    expect(built.stderr).not.toContain(secret);
    expect(() => execFileSync('grep', ['-rlF', secret, store])).toThrow();
  });
});

describe('an ssh mount', () => {
  it('that nobody gives is there when it is not required', async () => {
    const built = await run('RUN --mount=type=ssh echo $SSH_AUTH_SOCK; ls $SSH_AUTH_SOCK || true', []);
    expect(outputOf(built, 'RUN')).toContain('No such file');
    expect(outputOf(built, 'RUN').split('\n')).toContain('/run/buildkit/ssh_agent.0');
  });

  it('that is required must be given', async () => {
    const failure = errorOf(
      await run('RUN --mount=type=ssh,id=mine,required true', ['--ssh', 'default'], { SSH_AUTH_SOCK: socket }),
    );
    expect(failure).toMatchObject({
      code: 'run/ssh-missing',
      message: 'no SSH key "mine" forwarded from the client',
      hint: expect.stringContaining('--ssh mine'),
    });
  });

  it('needs an agent, or a file', async () => {
    const { code, stderr } = await tbuild(['build', '--ssh', 'default', makeContext({ Dockerfile: 'FROM scratch' })], {
      env: { SSH_AUTH_SOCK: undefined },
    });
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('--ssh default needs an SSH agent, and SSH_AUTH_SOCK is not set'),
    ]);
  });

  it('counts by its options, not by who answers', async () => {
    const instruction = 'RUN --mount=type=ssh,id=x echo $SSH_AUTH_SOCK # who';
    expect((await run(instruction, ['--ssh', `x=${socket}`])).ran).toHaveLength(1);
    expect((await run(instruction, ['--ssh', `x=${path.join(folder, 'rsa')}`])).ran).toEqual([]);
    expect((await run(instruction, [])).ran).toEqual([]);
    expect((await run(instruction.replace('id=x', 'id=y'), [])).ran).toHaveLength(1);
  });
});
