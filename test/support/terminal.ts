// A command on a terminal of 91 columns and 37 rows, which script(1) makes.
import { spawn } from 'node:child_process';

export interface Shown {
  readonly code: number | null;
  /** With the carriage returns that terminals have. */
  readonly text: string;
}

export function onTerminal(words: readonly string[], env: NodeJS.ProcessEnv): Promise<Shown> {
  const command = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const child = spawn('script', ['-qec', `stty cols 91 rows 37; exec ${command}`, '/dev/null'], { env, timeout: 60_000 });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  // Its standard input stays open until the end: else script types an end of file.
  return new Promise((resolve, reject) => {
    child.once('error', reject).once('close', (code) => resolve({ code, text }));
  });
}
