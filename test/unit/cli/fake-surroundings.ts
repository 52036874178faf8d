// The world of a command, in memory: streams that keep what is written, an environment, a library of the test's own.

import { Readable, Writable } from 'node:stream';
import { dispatch } from '../../../src/cli/dispatch.ts';
import type { Library } from '../../../src/cli/library/library.ts';
import type { Output } from '../../../src/cli/surroundings.ts';

export class FakeOutput extends Writable implements Output {
  text = '';
  readonly isTTY: boolean;
  columns: number;
  rows: number;

  constructor({ isTTY = false, columns = 80, rows = 24 } = {}) {
    super({ decodeStrings: false });
    this.isTTY = isTTY;
    this.columns = columns;
    this.rows = rows;
  }

  override _write(chunk: string | Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

interface Fakes {
  readonly library?: Partial<Library>;
  readonly env?: Record<string, string>;
  readonly stdin?: string;
  readonly stdout?: FakeOutput;
  readonly stderr?: FakeOutput;
}

/** Runs a command line as main.ts would. */
export async function tbuild(
  args: readonly string[],
  fakes: Fakes = {},
): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const { stdout = new FakeOutput(), stderr = new FakeOutput() } = fakes;
  const exitCode = await dispatch(args, {
    stdin: () => Readable.from([Buffer.from(fakes.stdin ?? '')]),
    stdout,
    stderr,
    env: fakes.env ?? {},
    library: (fakes.library ?? {}) as Library,
  });
  return { exitCode, stdout: stdout.text, stderr: stderr.text };
}
