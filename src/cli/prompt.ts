// Asks a person at a terminal for a line, shown as it is typed or, for passwords, not at all.

import type { Readable } from 'node:stream';
import { TbuildError } from '../base/errors.ts';
import type { Output } from './surroundings.ts';

export type Terminal = Readable & { setRawMode?(mode: boolean): unknown; readonly isTTY?: boolean };

/** Throws `cancelled/interrupted` on ^C and at the end of input. */
export function promptLine(question: string, stdin: Terminal, stdout: Output, isHidden: boolean): Promise<string> {
  stdout.write(question);
  stdin.setRawMode?.(true);
  return new Promise<string>((resolve, reject) => {
    let line = '';
    const end = (settle: () => void): void => {
      stdin.off('data', take);
      stdin.pause();
      stdin.setRawMode?.(false);
      stdout.write('\n');
      settle();
    };
    const take = (data: Buffer | string): void => {
      for (const character of String(data)) {
        // ^C, ^D: in raw mode they are characters like any other.
        const isCanceled = character === '\x03' || character === '\x04';
        if (isCanceled || character === '\r' || character === '\n') {
          end(() => (isCanceled ? reject(new TbuildError('cancelled/interrupted', 'canceled')) : resolve(line)));
          return;
        }
        if (character === '\x7f' || character === '\b') {
          if (line !== '' && !isHidden) stdout.write('\b \b');
          line = [...line].slice(0, -1).join('');
        } else if (character >= ' ') {
          line += character;
          if (!isHidden) stdout.write(character);
        }
      }
    };
    stdin.on('data', take).resume();
  });
}
