// STOPSIGNAL takes any number but 0, or the name of a Linux signal with or without SIG (moby/sys/signal).

import { dockerfileError } from '../dockerfile/errors.ts';

const names = new Set(
  (
    'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP ' +
    'TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX'
  ).split(' '),
);

export function isSignal(signal: string): boolean {
  return /^[+-]?\d+$/.test(signal) ? Number(signal) !== 0 : isName(signal.toUpperCase().replace(/^SIG/, ''));
}

export function checkSignal(signal: string): void {
  if (isSignal(signal)) return;
  throw dockerfileError('signal', `invalid signal: ${signal}`, undefined, 'a name as SIGTERM, or a number');
}

function isName(name: string): boolean {
  const realTime = /^RT(?<end>MIN\+|MAX-)(?<offset>[1-9]\d?)$/.exec(name)?.groups;
  return names.has(name) || (realTime !== undefined && Number(realTime.offset) <= (realTime.end === 'MIN+' ? 15 : 14));
}
