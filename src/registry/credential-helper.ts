// Programs that keep credentials for docker: docker-credential-<name> get|store|erase (docker-credential-helpers: client/command.go, credentials.go).
// What they say reaches a message; what they are given and what they answer never does.

import { spawn } from 'node:child_process';
import { TbuildError } from '../base/errors.ts';
import type { Credentials } from './credential-file.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The user name under which a helper keeps a token in place of a password. */
const TOKEN_USER = '<token>';
const NOT_FOUND = /credentials not found in native keychain|no credentials server URL|no credentials username/;

/** Undefined: it has none. Throws `auth/helper`. */
export async function getFromHelper(
  name: string,
  server: string,
  env: Environment,
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  const { code, stdout, said } = await runHelper(name, 'get', server, env, signal);
  if (NOT_FOUND.test(said)) return undefined;
  if (code !== 0) throw helperError(name, said || `it exits ${code}`);
  const { Username: user, Secret: secret } = parseAnswer(name, stdout);
  if (!secret) return undefined;
  return user === TOKEN_USER ? { identityToken: secret } : { user, password: secret };
}

export async function storeWithHelper(
  name: string,
  server: string,
  credentials: Credentials,
  env: Environment,
  signal: AbortSignal,
): Promise<void> {
  const [user, secret] =
    'user' in credentials
      ? [credentials.user, credentials.password]
      : [TOKEN_USER, 'identityToken' in credentials ? credentials.identityToken : credentials.registryToken];
  const input = JSON.stringify({ ServerURL: server, Username: user, Secret: secret });
  const { code, said } = await runHelper(name, 'store', input, env, signal);
  if (code !== 0) throw helperError(name, said || `it exits ${code}`);
}

/** Whether it had some. */
export async function eraseFromHelper(name: string, server: string, env: Environment, signal: AbortSignal): Promise<boolean> {
  const had = (await getFromHelper(name, server, env, signal)) !== undefined;
  if (!had) return false;
  const { code, said } = await runHelper(name, 'erase', server, env, signal);
  if (code !== 0) throw helperError(name, said || `it exits ${code}`);
  return true;
}

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  /** What it says when it fails: on standard output, as docker's do, else on standard error. */
  readonly said: string;
}

const MAX_OUTPUT_CHARACTERS = 1 << 20;

function runHelper(name: string, verb: string, input: string, env: Environment, signal: AbortSignal): Promise<Outcome> {
  if (!/^[\w.-]+$/.test(name)) throw helperError(name, 'that is no name of a program');
  const program = `docker-credential-${name}`;
  return new Promise((resolve, reject) => {
    const child = spawn(program, [verb], { env: { ...env }, stdio: ['pipe', 'pipe', 'pipe'], signal });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout = (stdout + text).slice(0, MAX_OUTPUT_CHARACTERS);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(0, MAX_OUTPUT_CHARACTERS);
    });
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (signal.aborted) reject(error);
      else reject(helperError(name, error.code === 'ENOENT' ? `there is no program ${program}` : error.message));
    });
    child.once('close', (code) => {
      const said = code === 0 ? '' : (stdout.trim() || stderr.trim()).replace(/[\p{C}\s]+/gu, ' ').slice(0, 300);
      resolve({ code, stdout, said });
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

function parseAnswer(name: string, text: string): { Username: string; Secret: string } {
  try {
    const { Username = '', Secret = '' } = JSON.parse(text) as Record<string, unknown>;
    if (typeof Username === 'string' && typeof Secret === 'string') return { Username, Secret };
  } catch {
    // As below; what it said may be a secret.
  }
  throw helperError(name, 'it does not answer as it should');
}

function helperError(name: string, why: string): TbuildError {
  return new TbuildError('auth/helper', `the credential helper ${name} fails: ${why}`);
}
