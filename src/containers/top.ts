// The processes of a container as the machine's own ps describes them, its options included (moby daemon/top_unix.go). Numbers are the host's.

import { spawn } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import { TbuildError } from '../base/errors.ts';
import { control } from '../native/monitor.ts';
import { type Container, isAlive } from './containers.ts';
import { isUp } from './state.ts';

export interface Processes {
  readonly titles: readonly string[];
  /** As many cells as there are titles. */
  readonly rows: readonly (readonly string[])[];
}

/** `options`: of ps; none: `-ef`. Throws `container/not-running`, `container/ps`. */
export async function listProcesses(container: Container, options: readonly string[]): Promise<Processes> {
  const { status, pid } = container.state();
  if (!isUp(status)) {
    const why = isAlive(status) ? `is ${status}, wait until the container is running` : 'is not running';
    throw new TbuildError('container/not-running', `container ${container.id} ${why}`);
  }
  const [pids, output] = await Promise.all([pidsOf(container, pid), runPs(options.length === 0 ? ['-ef'] : options)]);
  return chooseProcesses(output, new Set(pids));
}

/** Where a container has no cgroup its monitor knows of its first process only: the others are those of its PID namespace. */
async function pidsOf({ directory, spec }: Container, first: number): Promise<number[]> {
  const { pids } = await control<{ pids: number[] }>(directory, { op: 'processes' });
  return pids.length > 1 || spec.pid !== 'private' ? pids : inNamespaceOf(first);
}

function inNamespaceOf(pid: number): number[] {
  const namespace = namespaceOf(pid);
  const all = readdirSync('/proc').map(Number).filter(Number.isInteger);
  return all.filter((each) => each === pid || (namespace !== undefined && namespaceOf(each) === namespace));
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined; // Gone, or another account's.
  }
}

function runPs(args: readonly string[]): Promise<string> {
  const child = spawn('ps', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', (cause) =>
      reject(new TbuildError('container/ps', `cannot run ps: ${cause.message}`, { cause, hint: 'install it (Debian: procps)' })),
    );
    child.once('close', (code) => {
      if (code === 0) resolve(output);
      else reject(new TbuildError('container/ps', `ps: ${errors.trim().split('\n')[0] || `it exited ${code}`}`));
    });
  });
}

/** The rows whose PID is wanted; the last title's cell is the rest of its line. Threads of a process (`-`) follow it. Throws `container/ps`. */
export function chooseProcesses(output: string, pids: ReadonlySet<number>): Processes {
  const [head = '', ...lines] = output.split('\n');
  const titles = head.trim().split(/\s+/);
  const at = titles.indexOf('PID');
  if (at < 0) throw new TbuildError('container/ps', "Couldn't find PID field in ps output");
  let isWanted = false;
  const rows = lines
    .filter((line) => line.trim() !== '')
    .map((line) => cellsOf(line, titles.length))
    .filter((cells) => {
      if (cells[at] !== '-') isWanted = pids.has(Number(cells[at]));
      return isWanted;
    });
  return { titles, rows };
}

function cellsOf(line: string, count: number): string[] {
  const words = line.trim().split(/\s+/);
  return [...words.slice(0, count - 1), words.slice(count - 1).join(' ')];
}
